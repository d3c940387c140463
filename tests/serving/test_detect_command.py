"""`mrcnn-keras detect --server`."""

import json
import subprocess
import sys

import numpy as np
import pytest

from mrcnn_keras import cli
from mrcnn_keras.commands.detect_files import Output, detect_files
from mrcnn_keras.serving import ServerUnavailableError, retry

from .conftest import CONFIG, HAS_GRPC, file_of
from .running import free_ports
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
    address = f"http://127.0.0.1:{free_ports(1)[0]}"
    assert run(photos, "--out", tmp_path / "out", "--server", address) == 1
    assert f"no answer from the server at {address} after 6 attempts" in capsys.readouterr().err


class Vanishing:
    """Detects nothing in the first image, and is gone at the second."""

    config = CONFIG

    def __init__(self):
        self.asked = []

    def detect(self, images, batch_size, masks):
        from mrcnn_keras import Detections

        self.asked += images
        if len(self.asked) > 1:
            raise ServerUnavailableError("no answer from the server")
        return [Detections([], [], [], CONFIG.names, size=(60, 80))]


def test_a_server_that_is_lost_is_not_waited_for_at_every_image(photos, tmp_path, capsys):
    model, files = Vanishing(), {photos / "a.jpg": tmp_path / "a.jpg", photos / "b.png": tmp_path / "b.png"}
    (photos / "c.jpg").write_bytes((photos / "a.jpg").read_bytes())
    assert detect_files(model, {**files, photos / "c.jpg": tmp_path / "c.jpg"}, tmp_path, Output(as_files=True)) == 1
    assert len(model.asked) == 2
    assert "1 of 3 images failed, 1 were not tried" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "detections.json").read_text())["images"]) == 1
