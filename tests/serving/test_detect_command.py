"""`mrcnn-keras detect --server`."""

import contextlib
import json
import subprocess
import sys

import numpy as np
import pytest

from mrcnn_keras import cli
from mrcnn_keras.commands import detect
from mrcnn_keras.data import read_image
from mrcnn_keras.serving import ServerUnavailableError, retry

from .conftest import CONFIG, HAS_GRPC, file_of
from .running import unheard_port
from .tiny import photo

CODE = """
import sys
from mrcnn_keras.cli import main
status = main(sys.argv[1:])
print("tensorflow" in sys.modules)
sys.exit(status)
"""


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(file_of(photo(60, 80, 0), "JPEG"))
    (folder / "b.png").write_bytes(file_of(photo(90, 50, 1), "PNG"))
    return folder


def run(*words):
    return cli.main(["detect", *map(str, words)])


def test_results_are_those_of_the_model(server, model, photos, tmp_path):
    model.save(tmp_path / "model.keras")
    assert run(photos, "--model", tmp_path / "model.keras", "--out", tmp_path / "local") == 0
    expected = json.loads((tmp_path / "local" / "detections.json").read_text())
    for protocol in ["rest", "grpc"] if HAS_GRPC else ["rest"]:
        out = tmp_path / protocol
        assert run(photos, "--server", server.addresses[protocol], "--out", out) == 0
        written = json.loads((out / "detections.json").read_text())
        assert written["images"] == expected["images"] and written["categories"] == expected["categories"]
        assert len(written["annotations"]) == len(expected["annotations"]) > 0
        for one, other in zip(written["annotations"], expected["annotations"]):
            assert (one["image_id"], one["category_id"]) == (other["image_id"], other["category_id"])
            np.testing.assert_allclose(one["bbox"], other["bbox"], atol=0.02)
        assert (out / "a.jpg").stat().st_size > 1000 and (out / "b.png").exists()


def test_rest_imports_no_tensorflow_and_names_what_failed(server, photos, tmp_path):
    (photos / "c.jpg").write_bytes((photos / "a.jpg").read_bytes()[:300])
    words = ["detect", photos, "--server", server.addresses["rest"], "--out", tmp_path / "out"]
    child = subprocess.run([sys.executable, "-c", CODE, *map(str, words)], capture_output=True, text=True)
    assert child.returncode == 1 and child.stdout.splitlines()[-1] == "False"
    assert "c.jpg" in child.stderr and "1 of 3 images failed" in child.stderr
    assert len(json.loads((tmp_path / "out" / "detections.json").read_text())["images"]) == 2


@pytest.mark.parametrize(
    "words, told",
    [
        ([], "--model --server"),
        (["--server", "http://localhost:1", "--model", __file__], "not allowed with"),
        (["--server", "http://localhost:1", "--set", "score_threshold=0.5"], "--set goes with --model"),
        (["--server", "http://localhost:1", "--tta"], "--tta, --soft-nms, --tiles and --class-score go with --model"),
        (["--server", "http://localhost:1", "--replicas", "2"], "--replicas goes with --model"),
        (["--model", __file__, "--model-name", "birds"], "--model-name goes with --server"),
        (["--server", "http://"], "expected the address of a server"),
    ],
)
def test_wrong_usage(photos, tmp_path, capsys, words, told):
    assert run(photos, "--out", tmp_path / "out", *words) == 2
    assert told in capsys.readouterr().err


def test_no_such_model_is_wrong_usage(server, photos, tmp_path, capsys):
    assert run(photos, "--out", tmp_path / "out", "--server", server.addresses["rest"], "--model-name", "birds") == 2
    assert "there is no model 'birds'" in capsys.readouterr().err


def test_no_server_is_a_failure(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(retry.time, "sleep", lambda seconds: None)
    with unheard_port() as port:
        address = f"http://127.0.0.1:{port}"
        assert run(photos, "--out", tmp_path / "out", "--server", address) == 1
    assert f"no answer from the server at {address} after 6 attempts" in capsys.readouterr().err


class Vanishing:
    """Is gone when it is asked for the first time, and then detects nothing."""

    config = CONFIG

    def __init__(self):
        self.asked = []

    def detect(self, images, batch_size, masks):
        from mrcnn_keras import Detections

        self.asked.append(images)
        if len(self.asked) == 1:
            raise ServerUnavailableError("no answer from the server")
        return [Detections([], [], [], CONFIG.names, size=read_image(image).shape[:2]) for image in images]


def test_a_server_that_is_lost_is_not_waited_for_at_every_image(photos, tmp_path, capsys, monkeypatch):
    model = Vanishing()
    monkeypatch.setattr(detect, "served_model", lambda *args: contextlib.nullcontext(model))
    words = [photos, "--server", "http://localhost:1", "--out", tmp_path / "out"]
    assert run(*words) == 1 and len(model.asked) == 1
    told = capsys.readouterr().err
    assert "no answer from the server" in told and "2 of 2 inputs are left" in told
    assert not (tmp_path / "out" / "detections.json").exists()
    assert run(*words) == 0
    assert len(json.loads((tmp_path / "out" / "detections.json").read_text())["images"]) == 2
