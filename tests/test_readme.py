"""What the README says exists and runs."""

import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from .coco_files import write_people
from .tiny import FIELDS, tiny_model

pytestmark = pytest.mark.usefixtures("eager_training")

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, flags=re.M | re.S)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(keras(?:\.\w+)+)`", README))))
def test_keras_has_what_replaces_tensorflow_addons(name):
    import keras

    found = keras
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    assert callable(found)


def test_every_optimizer_has_decay_and_averages():
    import keras

    optimizer = keras.optimizers.SGD(weight_decay=0.1, use_ema=True, ema_momentum=0.9)
    assert optimizer.weight_decay == 0.1 and optimizer.use_ema


def test_links_and_pictures_exist():
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("words", re.findall(r"^mrcnn-keras ([\w-]+)", README, flags=re.M))
def test_commands_exist(words):
    from mrcnn_keras import cli

    assert cli.main([words, "--help"]) == 0


def cells(folder):
    """Images with a square each and their masks, as the README's example expects them."""
    folder.mkdir()
    for i in range(10):
        image, masks = np.full((48, 64, 3), 90, np.uint8), np.zeros((1, 48, 64), bool)
        masks[0, 8 : 20 + i, 10:30] = True
        image[masks[0]] = 200
        Image.fromarray(image).save(folder / f"{i}.jpg")
        np.savez(folder / f"{i}.npz", masks=masks, classes=np.array([i % 2]))
    Image.fromarray(image).save(folder / "new.jpeg")


@pytest.fixture
def shrink(monkeypatch):
    """Replaces a preset by a tiny network of the same kind."""
    from mrcnn_keras import presets

    def replace(name, **fields):
        monkeypatch.setitem(presets.PRESETS, name, presets.Preset({**presets.PRESETS[name].fields, **FIELDS, **fields}))

    return replace


def test_training_on_own_data_runs_as_written(tmp_path, monkeypatch, capsys, shrink):
    shrink("mask_rcnn_narrow_fpn")
    monkeypatch.chdir(tmp_path)
    cells(tmp_path / "cells")
    # Only the sizes are changed: fewer epochs on smaller images, and a photo that is none of the ten.
    code = BLOCKS[0].replace("epochs=50", "epochs=1").replace("320", "48").replace("480", "64")
    code = code.replace("cells/new.jpg", "cells/new.jpeg")
    assert code.count("epochs=1,") == 1
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert (tmp_path / "found.png").exists() and (tmp_path / "cells.keras").exists()
    assert (tmp_path / "exported" / "1" / "saved_model.pb").exists()
    assert "masks" in capsys.readouterr().out


@pytest.mark.slow
def test_onnx_file_runs_as_written(tmp_path, monkeypatch):
    for package in ("onnxruntime", "tf2onnx"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    cells(tmp_path / "cells")
    tiny_model(num_classes=2, score_threshold=0.05).save("cells.keras")
    (code,) = (block for block in BLOCKS if "onnxruntime" in block)
    names = {"__name__": "readme"}
    exec(compile(code.replace("cells/new.jpg", "cells/new.jpeg"), "README.md", "exec"), names)
    (expected,) = names["model"].detect("cells/new.jpeg")
    assert len(names["found"]) == len(expected) and names["found"].masks.shape == expected.masks.shape
    np.testing.assert_allclose(names["found"].boxes, expected.boxes, atol=1e-2)


@pytest.mark.slow
def test_keypoints_run_as_written(tmp_path, monkeypatch, capsys, shrink):
    sides = {"train_min_sides": (), "min_side_sampling": "choice"}
    shrink("keypoint_mask_rcnn_resnet50_fpn", **sides, num_classes=1, max_detections=5)
    monkeypatch.chdir(tmp_path)
    write_people(tmp_path / "train2017", tmp_path / "person_keypoints_train2017.json")
    (tmp_path / "photo.jpg").write_bytes((tmp_path / "train2017" / "0.jpg").read_bytes())
    (code,) = (block for block in BLOCKS if "with_keypoints()" in block)
    assert code.count(', weights="imagenet"') == 1 and code.count("epochs=10") == 1
    names = {"__name__": "readme"}
    exec(compile(code.replace(', weights="imagenet"', "").replace("epochs=10", "epochs=1"), "README.md", "exec"), names)
    assert names["found"].keypoints.shape[1:] == (17, 3) and names["found"].masks is not None
    assert names["model"].config.keypoint_names[0] == "nose" and (tmp_path / "people.png").exists()


def test_the_other_examples_compile():
    import mrcnn_keras as mk

    for block in BLOCKS:
        compile(block, "README.md", "exec")
    for name in set(re.findall(r"\bmk((?:\.\w+)+)", README)):
        found = mk
        for part in name.split(".")[1:]:
            found = getattr(found, part)
