"""Models exported with masks as large as the images, through the client and without it."""

import io

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.model import MaskRCNN
from mrcnn_keras.serving import Client, export_saved_model

from .conftest import CONFIG, HAS_GRPC, file_of, predict
from .running import Running
from .test_client import assert_same
from .tiny import C4, photo


@pytest.fixture(scope="module", params=["full", "png"])
def kind(request):
    """What the masks of the served model are."""
    return request.param


@pytest.fixture(scope="module")
def model():
    """With masks and keypoints."""
    return MaskRCNN(CONFIG.replace(**C4))


@pytest.fixture(scope="module")
def server(model, kind, tmp_path_factory):
    base = tmp_path_factory.mktemp(kind)
    export_saved_model(model, base / "1", masks=kind, warm_up=False)
    running = Running(base, grpc=HAS_GRPC)
    yield running
    running.kill()


@pytest.fixture(scope="module")
def files():
    """A wide and a tall photo."""
    return [file_of(photo(120, 170, 0), "PNG"), file_of(photo(200, 90, 1), "PNG")]


@pytest.mark.slow
def test_the_client_gives_the_masks_of_detect(model, server, files):
    for address in server.addresses.values() if HAS_GRPC else [server.addresses["rest"]]:
        with Client(address) as client:
            assert_same(client.detect(files, batch_size=2), model.detect(files, batch_size=2))
            assert_same(client.detect(files, masks="rle"), model.detect(files, masks="rle"))


@pytest.mark.slow
def test_masks_have_the_images_size(model, kind, server, files):
    answer = predict(server, "serving_default", files)
    given = answer["detection_masks_bytes" if kind == "png" else "detection_masks"]
    for i, found in enumerate(model.detect(files, batch_size=2)):
        height, width = found.size
        if kind == "png":
            assert (given[i, len(found) :] == b"").all()
            served = np.stack([np.asarray(Image.open(io.BytesIO(one))) == 255 for one in given[i, : len(found)]])
        else:
            assert given.shape == (2, 10, 200, 170)
            assert not given[i, :, height:].any() and not given[i, :, :, width:].any()
            served = given[i, : len(found), :height, :width] == 1
        assert served.shape == found.masks.shape and len(found) and found.masks.any()
        assert (served != found.masks).mean() < 1e-4
