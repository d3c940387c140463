"""The samples: help without TensorFlow, and a very short training of each."""

import types

import pytest
import tensorflow as tf

from mrcnn_keras import demo

from .coco_files import write_people
from .command_line import run_without_tensorflow
from .tiny import tiny_settings

SETTINGS = tiny_settings(train_min_sides=(64,), image_max_side=96, max_detections=5)
pytestmark = pytest.mark.usefixtures("eager_training")


@pytest.fixture
def sample(load_sample):
    """Imports a sample by name: the module, and its `main` with words of any type."""

    def load(name):
        module = load_sample(name)
        return module, lambda *words: module.main([str(word) for word in words])

    return load


@pytest.fixture
def photos(tmp_path):
    """A folder like Penn-Fudan's: six drawn pictures with their instance masks."""
    from PIL import Image
    from pycocotools import mask as mask_utils

    from mrcnn_keras.data import ShapesDataset

    shapes = ShapesDataset(6, seed=3, size=(64, 64), max_objects=2)
    for name in ("PNGImages", "PedMasks"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    for i in range(len(shapes)):
        labels = sum(n * mask_utils.decode(m) for n, m in enumerate(shapes.load_annotations(i).masks, start=1))
        Image.fromarray(shapes.load_image(i)).save(tmp_path / "photos" / "PNGImages" / f"{i}.png")
        Image.fromarray(labels).save(tmp_path / "photos" / "PedMasks" / f"{i}_mask.png")
    return tmp_path / "photos"


def test_help_and_mistakes_are_told_without_tensorflow(tmp_path):
    drawn = {("--help",): 0, ("train", "--help"): 0, ("train", "--set", "x=1"): 2, (): 2}
    data = {("--help",): 0, ("train", "--help"): 0, ("train", "--dataset", "absent"): 2}
    data[("train", "--dataset", str(tmp_path))] = 2
    expected = {name: drawn for name in ("shapes", "stick_figures", "pennfudan")}
    expected |= {name: data for name in ("coco", "cityscapes")}
    calls = [(name, words) for name, statuses in expected.items() for words in statuses]
    for (name, words), told in zip(calls, run_without_tensorflow(calls), strict=True):
        assert (told["status"], told["imported"]) == (expected[name][words], []), (name, words, told["output"])
        options = ["--replicas", "--precision", "keypoint"] if name in ("coco", "cityscapes") else []
        named = {("--help",): ["train", "evaluate", "detect"], ("train", "--help"): options}.get(words, [])
        assert [part for part in named if part not in told["output"]] == [], (name, words)


TRAIN = ["train", "--steps", 2, "--images", 8, "--validation-images", 2, *SETTINGS]


def test_training_on_drawn_images(sample, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "GALLERY", 2)
    _, run = sample("shapes")
    assert run(*TRAIN, "--out", tmp_path / "out") == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"last.keras", "best.keras", "history.csv", "curves.png", "detections.png"} <= names


@pytest.mark.slow
def test_drawn_people(sample, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "GALLERY", 2)
    _, run = sample("stick_figures")
    out = tmp_path / "out"
    assert run(*TRAIN, "--out", out) == 0
    assert run("evaluate", "--model", out / "last.keras", "--images", 2) == 0
    assert "keypoints" in capsys.readouterr().out
    assert run("detect", "--model", out / "last.keras", "--out", out / "found") == 0
    assert len(list((out / "found").glob("stick_figures*.png"))) == 8


@pytest.mark.slow
def test_overfit_keypoints(sample, tmp_path, capsys):
    _, run = sample("overfit_keypoints")
    write_people(tmp_path / "photos", tmp_path / "people.json")
    words = ["--images", tmp_path / "photos", "--annotations", tmp_path / "people.json", "--out", tmp_path / "out"]
    assert run(*words, "--steps", 2, *SETTINGS) == 0
    assert "the 2 training photos" in capsys.readouterr().out
    assert (tmp_path / "out" / "detections.png").exists() and (tmp_path / "out" / "model.keras").exists()


@pytest.mark.slow
def test_pennfudan(sample, photos, tmp_path, capsys):
    _, run = sample("pennfudan")
    out = tmp_path / "out"
    assert run("train", "--dataset", photos, "--out", out, "--steps", 2, *SETTINGS) == 0
    printed = capsys.readouterr().out
    assert "5 photos to train on, 1 to validate on" in printed and "mask AP50" in printed
    names = {path.name for path in out.iterdir()}
    assert {"last.keras", "best.keras", "history.csv", "curves.png", "detections.png"} <= names
    assert "val_segm_AP50" in (out / "history.csv").read_text()
    assert run("evaluate", "--dataset", photos, "--model", out / "best.keras") == 0


def test_pennfudan_split_is_fixed_and_shares_nothing(sample, photos):
    module, _ = sample("pennfudan")
    names = [[part.image_name(i) for i in range(len(part))] for part in module.split(photos)]
    assert names == [[part.image_name(i) for i in range(len(part))] for part in module.split(photos)]
    assert sorted(names[0] + names[1]) == [f"{i}.png" for i in range(6)]


@pytest.mark.shared
def test_pennfudan_photos_are_split_100_to_20(sample, shared_dir):
    module, _ = sample("pennfudan")
    assert [len(part) for part in module.split(shared_dir / "data" / "pennfudan")] == [100, 20]


def rates(schedule, seconds, monkeypatch, common):
    """Learning rate of each step, of which each takes so many seconds, until the schedule ends the training."""
    now = [0.0]
    monkeypatch.setattr(common.time, "monotonic", lambda: now[0])
    optimizer = types.SimpleNamespace(iterations=tf.constant(0), learning_rate=None)
    model = types.SimpleNamespace(optimizer=optimizer, stop_training=False)
    schedule.set_model(model)
    schedule.on_train_begin()
    seen = []
    while not model.stop_training:
        schedule.on_train_batch_begin(0)
        seen.append(optimizer.learning_rate)
        optimizer.iterations += 1
        now[0] += seconds
        schedule.on_train_batch_end(0)
    return seen


def test_schedule_ends_after_its_steps_or_its_minutes(sample, monkeypatch):
    common = sample("pennfudan")[0]._common
    seen = rates(common.limited_schedule(40, 10, 1.0, 4, (0.5, 0.75)), 0.1, monkeypatch, common)
    assert seen[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert seen[19:21] == pytest.approx([1.0, 0.1]) and seen[-1] == pytest.approx(0.01) and len(seen) == 40
    slow = rates(common.limited_schedule(40, 10, 1.0, 4, (0.5, 0.75)), 60, monkeypatch, common)
    assert len(slow) == 10 and slow[-1] == pytest.approx(0.01)  # a slow machine has the low rates, too
