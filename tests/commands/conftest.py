"""A folder of photos, and the command with a model of a few lines."""

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras import cli
from mrcnn_keras.commands import detect

from .stub_model import StubModel


@pytest.fixture
def photos(tmp_path):
    """Forty photos in two folders, the fourth broken, the sixth cut off."""
    folder = tmp_path / "photos"
    for number in range(40):
        path = folder / ("late" if number >= 30 else "early") / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20 + number % 3, 24, 3), 6 * number, np.uint8)).save(path)
    (folder / "early" / "03.png").write_bytes(b"no image")
    (folder / "early" / "05.png").write_bytes((folder / "early" / "06.png").read_bytes()[:60])
    return folder


@pytest.fixture
def weights(tmp_path):
    """A file that can be named as a model."""
    path = tmp_path / "model.keras"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def run(monkeypatch, weights):
    """Runs `mrcnn-keras detect`; gives the exit status. `run.model` is the model, `run.opened` how often it was."""
    model = StubModel()

    def call(*words):
        return cli.main(["detect", *map(str, words), "--model", str(weights)])

    def load_model(*_):
        call.opened += 1
        return model

    call.model, call.opened = model, 0
    monkeypatch.setattr(detect, "load_model", load_model)
    return call
