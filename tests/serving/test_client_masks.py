"""Models exported with masks as large as the images, through the client."""

import pytest

from mrcnn_keras.serving import Client, export_saved_model

from .conftest import HAS_GRPC, file_of
from .running import Running
from .test_client import assert_same
from .tiny import photo


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "png"])
def test_the_client_gives_the_masks_of_detect(model, tmp_path, kind):
    export_saved_model(model, tmp_path / "1", masks=kind, warm_up=False)
    images = [file_of(photo(120, 170, 0), "PNG"), file_of(photo(200, 90, 1), "PNG")]
    expected = model.detect(images, batch_size=2)
    server = Running(tmp_path, grpc=HAS_GRPC)
    try:
        for address in server.addresses.values():
            with Client(address) as client:
                assert_same(client.detect(images, batch_size=2), expected)
                assert_same(client.detect(images, masks="rle"), model.detect(images, masks="rle"))
    finally:
        server.kill()
