"""Files that a server gets from the world: each is answered or refused by itself, and the server goes on."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.serving import Client

from .conftest import file_of
from .test_client import PROTOCOLS, assert_same
from .tiny import photo

HUGE = (12_000, 9_000)


def memory_peak(pid):
    """The most memory that a process had so far, bytes."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        pytest.skip("no /proc here to read a process' memory from")
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@pytest.fixture(scope="module")
def huge():
    """Files of a few hundred kilobytes that decode to 324 MB."""
    blank = Image.new("L", HUGE)
    return {"PNG": file_of(blank.convert("1"), "PNG"), "JPEG": file_of(blank, "JPEG")}


@pytest.fixture(params=PROTOCOLS)
def client(request, server):
    with Client(server.addresses[request.param], retries=0) as one:
        yield one


def ask(client, file):
    """The server's answer to a file that our client would have refused to send."""
    return client._detect_files([file], ["the file"])


@pytest.mark.parametrize("file", [b"", b"Dear server, look at this.", b"\xff\xd8\xff\xe0", b"GIF89a\1\0\1\0\0\0\0;"])
def test_what_is_no_image_is_refused(client, file):
    with pytest.raises(ValueError, match="cannot detect in image the file: the server says"):
        ask(client, file)
    assert len(client.detect(photo(60, 80, 2))[0])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_huge_image_is_refused_before_it_is_decoded(client, server, huge, kind):
    client.detect(photo(60, 80, 2))
    before = memory_peak(server.pid)
    with pytest.raises(ValueError, match=r"12000.*9000|9000.*12000"):
        ask(client, huge[kind])
    assert memory_peak(server.pid) - before < 50e6
    assert len(client.detect(photo(60, 80, 2))[0])


def test_images_of_one_pixel_a_row_and_a_column(client, model):
    pixels = np.asarray(photo(40, 200, 3))
    images = [pixels[:1, :1], pixels[:1], pixels[:, :1]]
    for found, expected in zip(client.detect(images), model.detect(images), strict=True):
        assert found.size == expected.size and len(found) == len(expected)
        if len(found):
            assert_same([found], [expected])


def test_one_bad_file_fails_its_request_alone(client, model):
    good = file_of(photo(120, 170, 0), "PNG")
    with pytest.raises(ValueError, match="number 1 of the list"):
        client.detect([good, good[:200], good], batch_size=3)
    assert_same(client.detect([good, good], batch_size=2), model.detect([good, good], batch_size=2))
