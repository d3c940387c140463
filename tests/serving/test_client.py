"""A client and a server of the real SavedModel: both protocols give what `detect` gives."""

import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.serving import Client, ServerTimeoutError, ServerUnavailableError, export_saved_model

from .conftest import CONFIG, HAS_GRPC, file_of
from .corner import Corner
from .running import Running, unheard_port
from .test_wire import with_xmp
from .tiny import photo

PROTOCOLS = [
    "rest",
    pytest.param("grpc", marks=pytest.mark.skipif(not HAS_GRPC, reason="tensorflow-serving-api is not installed")),
]


@pytest.fixture(params=PROTOCOLS)
def client(request, server):
    with Client(server.addresses[request.param], retries=0) as one:
        yield one


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """One image in every form that a user may give, of several sizes."""
    folder = tmp_path_factory.mktemp("images")
    photo(120, 170, 0).save(folder / "wide.jpg", quality=95)
    photo(200, 90, 1).save(folder / "tall.png")
    photo(60, 80, 2).save(folder / "lossless.webp", lossless=True)
    array = np.asarray(photo(333, 257, 3))
    return [str(folder / "wide.jpg"), folder / "tall.png", folder / "lossless.webp", array, photo(70, 70, 4),
            file_of(photo(91, 77, 5), "JPEG")]  # fmt: skip


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert len(one) == len(other) > 0 and one.size == other.size
        assert one.class_names == other.class_names
        np.testing.assert_array_equal(one.class_ids, other.class_ids)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.01)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
        np.testing.assert_allclose(one.keypoints, other.keypoints, atol=0.05)
        assert one.keypoint_names == other.keypoint_names and one.keypoint_skeleton == other.keypoint_skeleton
        assert one.has_masks == other.has_masks
        if one.has_masks:
            assert (one.to_masks() == other.to_masks()).mean() > 0.999


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_client_finds_what_the_model_finds(client, model, images, batch_size):
    found = client.detect(images, batch_size=batch_size)
    assert_same(found, model.detect(images, batch_size=batch_size))
    assert found[0].image == images[0]  # kept for plotting


@pytest.mark.parametrize("masks", ["rle", None])
def test_masks_in_the_form_asked_for(client, model, images, masks):
    found, expected = client.detect(images[0], masks=masks), model.detect(images[0], masks=masks)
    assert_same(found, expected)
    assert found[0].masks is None and (found[0].rles is None) == (masks is None)


def test_the_threshold_cuts_and_may_leave_nothing(client, images):
    (all_of_them,) = client.detect(images[0])
    middle = float(np.median(all_of_them.scores))
    (some,) = client.detect(images[0], score_threshold=middle)
    assert len(some) == (all_of_them.scores > middle).sum()
    (none,) = client.detect(images[0], score_threshold=1.0)
    assert len(none) == 0 and none.masks.shape == (0, 120, 170)


def test_the_model_says_what_it_is(client):
    assert client.class_names == ("cat", "dog", "owl")
    assert client.config == CONFIG
    client.wait_until_ready(5)


@pytest.mark.parametrize(
    "mode, form",
    [("L", "JPEG"), ("CMYK", "JPEG"), ("L", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("1", "PNG"), ("LA", "PNG"),
     ("I;16", "PNG"), ("CMYK", "TIFF")],
)  # fmt: skip
def test_files_of_all_modes_are_read_as_by_the_model(server, model, mode, form):
    image = photo(64, 96, 6)
    image = (
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257) if "I" in mode else image.convert(mode)
    )
    file = file_of(image, form)
    with Client(server.addresses["rest"]) as client:
        assert_same(client.detect(file), model.detect(file))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "XMP"])
def test_a_file_with_an_orientation_is_turned(server, model, kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    if kind == "XMP":
        file = with_xmp(file_of(photo(64, 96, 7), "JPEG"), 6)
    else:
        file = file_of(photo(64, 96, 7), kind, exif=exif)
    with Client(server.addresses["rest"]) as client:
        (found,) = client.detect(file)
        assert found.size == (96, 64)
        assert_same([found], model.detect(file))


def test_a_broken_image_is_named(client, images, tmp_path):
    whole = file_of(photo(120, 170, 0), "JPEG", quality=95)
    (tmp_path / "torn.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"torn\.jpg.*the server says"):
        client.detect([images[0], images[1], tmp_path / "torn.jpg"], batch_size=3)
    with pytest.raises(ValueError, match="number 1 of the list, given as bytes"):
        client.detect([images[0], whole[: len(whole) // 2]], batch_size=2)
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.jpg.*0 bytes"):
        client.detect(tmp_path / "empty.jpg")
    assert len(client.detect(images[0])[0])  # and the connection is of use still


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_wrong_name_or_version_is_named(server, images, protocol):
    for options in ({"model_name": "mask_rcn"}, {"version": 7}):
        with Client(server.addresses[protocol], **options) as client:
            with pytest.raises(ValueError, match="there is no model 'mask_rcnn?'"):
                client.detect(images[0])
            with pytest.raises(ServerUnavailableError, match="not ready after 0 s"):
                client.wait_until_ready(0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_answer_in_time(server, images, protocol):
    with Client(server.addresses[protocol], timeout=0.001, class_names=CONFIG.names) as client:
        with pytest.raises(ServerTimeoutError, match="0.001 s"):
            client.detect([images[3]] * 4, batch_size=4)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nobody_there(images, protocol):
    with unheard_port() as port:
        address = {"rest": f"http://127.0.0.1:{port}", "grpc": f"grpc://127.0.0.1:{port}"}[protocol]
        with Client(address, retries=2, backoff=0.01) as client:
            with pytest.raises(ServerUnavailableError, match=rf"{address} after 3 attempts.*[Rr]efused"):
                client.detect(images[0])


@pytest.mark.skipif(not HAS_GRPC, reason="tensorflow-serving-api is not installed")
def test_grpc_waits_for_a_connection_only_so_long():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with Client(address, connect_timeout=0.3, retries=0, class_names=("cat",)) as client:
            start = time.monotonic()
            with pytest.raises(ServerUnavailableError, match=f"{address} after one attempt"):
                client.detect(np.zeros((8, 8, 3), np.uint8))
            assert time.monotonic() - start < 5
        with Client(address, connect_timeout=40) as client:
            start = time.monotonic()
            with pytest.raises(ServerUnavailableError, match="not ready after 0.2 s: .*no answer within 1 s"):
                client.wait_until_ready(0.2)
            assert time.monotonic() - start < 10


@pytest.mark.slow
def test_a_restart_of_the_server_is_survived(tmp_path, request):
    export_saved_model(Corner(), tmp_path / "1", warm_up=False)
    light = np.full((40, 90, 3), 200, np.uint8)
    server = Running(tmp_path, grpc=HAS_GRPC)
    request.addfinalizer(server.kill)
    protocols = ["rest", "grpc"] if HAS_GRPC else ["rest"]
    clients = [Client(server.addresses[one], retries=8, backoff=0.5) for one in protocols]
    before = [client.detect(light) for client in clients]
    server.kill()
    restart = threading.Thread(target=server.start)
    restart.start()
    for client, found in zip(clients, before):
        (again,) = client.detect(light)
        assert again.boxes.tolist() == found[0].boxes.tolist() == [[0, 0, 45, 20]]
        client.close()
    restart.join()


def test_the_server_is_warmed_up_and_takes_the_newest_version(server):
    assert "version 2" in server.said
    assert f"{2 if HAS_GRPC else 0} warm-up requests" in server.said


CLIENT = """
import sys
sys.modules["tensorflow"] = None
from mrcnn_keras.serving import Client
with Client(sys.argv[1]) as client:
    print(len(client.detect(sys.argv[2], masks="rle")[0]))
"""


def test_rest_needs_no_tensorflow(server, model, images):
    command = [sys.executable, "-c", CLIENT, server.addresses["rest"], images[0]]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(told) == len(model.detect(images[0])[0])
