"""Detection in many files: broken ones, interruptions, batches."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.commands.detect_files import Output, detect_files
from mrcnn_keras.config import MaskRCNNConfig
from mrcnn_keras.inference import Detections

CONFIG = MaskRCNNConfig(num_classes=2, class_names=("dark", "bright"))
BROKEN = (3, 4, 11)


class Model:
    """Finds one object in each image, whose score tells the image's colour and what it came together with."""

    config = CONFIG

    def __init__(self, wait=0.0, refuses=()):
        self.wait, self.refuses, self.batches = wait, refuses, []

    def detect(self, images, batch_size=1, masks="rle"):
        found = []
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            colours = [int(image[0, 0, 0]) for image in batch]
            if set(colours) & set(self.refuses):
                raise ValueError(f"image {colours} is refused")
            self.batches.append(colours)
            time.sleep(self.wait)
            for image, colour in zip(batch, colours):
                score = colour / 256 + sum(colours) / 1e6
                size = image.shape[:2]
                found.append(Detections([[1, 2, 9, 12]], [score], [colour % 2], CONFIG.names,
                                        masks=np.ones((1, *size), bool)))  # fmt: skip
        return found


def photos(folder, count=20):
    folder.mkdir(exist_ok=True)
    files = {}
    for number in range(count):
        path = folder / f"{number:03}.png"
        Image.fromarray(np.full((20 + number, 30, 3), number, np.uint8)).save(path)
        if number in BROKEN:
            path.write_bytes(path.read_bytes()[:50])
        files[path] = folder / "out" / path.name
    return files


def written(folder):
    return (folder / "out" / "detections.json").read_bytes()


def test_broken_ones_are_named_and_the_rest_is_done(tmp_path, capsys):
    files = photos(tmp_path)
    assert detect_files(Model(), files, tmp_path / "out", Output(batch_size=2)) == 1
    errors = capsys.readouterr().err
    assert all(f"{number:03}.png" in errors for number in BROKEN) and "3 of 20 images failed" in errors
    found = json.loads(written(tmp_path))
    assert [image["id"] for image in found["images"]] == list(range(1, 18))
    assert [one["image_id"] for one in found["annotations"]] == list(range(1, 18))
    assert [one["id"] for one in found["annotations"]] == list(range(1, 18))
    assert [one["category_id"] for one in found["annotations"][:4]] == [1, 2, 1, 2]
    pictures = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert pictures == {path.name for number, path in enumerate(files) if number not in BROKEN}
    assert not (tmp_path / "out" / ".detections.partial").exists()


def test_an_image_that_the_model_refuses_does_not_take_others_with_it(tmp_path, capsys):
    files = photos(tmp_path)
    assert detect_files(Model(refuses=(6,)), files, tmp_path / "out", Output(pictures=False)) == 1
    assert "4 of 20 images failed" in capsys.readouterr().err
    assert len(json.loads(written(tmp_path))["images"]) == 16
    assert not list((tmp_path / "out").glob("*.png"))


def interrupted(files, out, output, after):
    """Run until so many images were detected, then stop as if killed."""

    class Stops(Model):
        def detect(self, images, **options):
            if len([one for batch in self.batches for one in batch]) >= after:
                raise KeyboardInterrupt
            return super().detect(images, **options)

    with pytest.raises(KeyboardInterrupt):
        detect_files(Stops(), files, out, output)


def test_an_interrupted_run_goes_on_and_ends_like_an_undisturbed_one(tmp_path):
    files, output = photos(tmp_path), Output(batch_size=2, origin={"model": "a"}, pictures=False)
    detect_files(Model(), files, tmp_path / "out", output)
    undisturbed = written(tmp_path)
    for after in (3, 9, 13):
        (tmp_path / "out" / "detections.json").unlink(missing_ok=True)
        interrupted(files, tmp_path / "out", output, after)
        partial = tmp_path / "out" / ".detections.partial"
        with open(partial, "ab") as file:
            file.write(b'{"file_name": "torn')  # as kill -9 may leave it
        model = Model()
        assert detect_files(model, files, tmp_path / "out", output) == 1
        assert written(tmp_path) == undisturbed
        assert sum(map(len, model.batches)) < 17
        assert not partial.exists()


def test_a_run_of_other_options_is_not_mixed_in(tmp_path):
    files, output = photos(tmp_path), Output(origin={"model": "a"}, pictures=False)
    interrupted(files, tmp_path / "out", output, 5)
    with pytest.raises(ValueError, match="--restart"):
        detect_files(Model(), files, tmp_path / "out", Output(origin={"model": "b"}, pictures=False))
    model = Model()
    detect_files(model, files, tmp_path / "out", Output(pictures=False))  # begins anew
    assert sum(map(len, model.batches)) == 17


CODE = """
import pathlib, sys
sys.path.insert(0, {tests!r})
from test_detect_files import BROKEN, Model, Output, detect_files
folder = pathlib.Path({folder!r})
files = {{path: folder / "out" / path.name for path in sorted(folder.glob("*.png"))}}
sys.exit(detect_files(Model(wait=0.05), files, folder / "out", Output(batch_size=2, origin={{"model": "a"}})))
"""


def test_killed_twice_the_output_is_the_same(tmp_path):
    files = photos(tmp_path)
    output = Output(batch_size=2, origin={"model": "a"})
    detect_files(Model(), files, tmp_path / "out", output)
    undisturbed = written(tmp_path)
    (tmp_path / "out" / "detections.json").unlink()
    code = CODE.format(tests=str(pathlib.Path(__file__).parent), folder=str(tmp_path))
    words, partial = [sys.executable, "-c", code], tmp_path / "out" / ".detections.partial"
    for least in (3, 9):
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None and (not partial.exists() or partial.read_bytes().count(b"\n") < least):
            time.sleep(0.02)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert partial.exists() and not (tmp_path / "out" / "detections.json").exists()
    assert subprocess.run(words, capture_output=True).returncode == 1
    assert written(tmp_path) == undisturbed
