"""The samples for COCO and Cityscapes, on a few small photos in the benchmarks' own folders."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from .cityscapes_files import write_cityscapes
from .command_line import SAMPLES
from .tiny import tiny_settings

SETTINGS = tiny_settings(train_min_sides=(64,), image_max_side=96, max_detections=5)
pytestmark = pytest.mark.usefixtures("eager_training")

# Runs a sample with one command line after the other, until one fails.
_CALLS = """
import importlib, json, sys

sample = importlib.import_module(sys.argv[1])
for words in json.loads(sys.argv[2]):
    status = sample.main(words)
    if status:
        sys.exit(status)
    import keras

    keras.mixed_precision.set_dtype_policy("float32")  # as a process begins
"""
# What a process does first: train without graphs, or keep a state after every step.
_EAGERLY = """
import functools
from mrcnn_keras.training.trainer import Trainer

Trainer.compile = functools.partialmethod(Trainer.compile, run_eagerly=True)
"""
_KEEPS_EVERY_STEP = """
from mrcnn_keras.commands import training

training._SAVE_EVERY = 1
"""


def texts(words):
    return [str(word) for word in words]


def started(name, *calls, before=""):
    """A process that runs a sample with so many command lines, after some lines of Python."""
    command = [sys.executable, "-c", before + _CALLS, name, json.dumps([texts(words) for words in calls])]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=SAMPLES, env={**os.environ, "PYTHONUNBUFFERED": "1"}, **pipes)


def stopped(child, out, number):
    """Send a signal to a training once it has kept a state; the newest state's step, and what it has printed."""
    while not list(out.glob("step-*.keras")) and child.poll() is None:
        time.sleep(0.1)
    child.send_signal(number)
    printed = child.communicate(timeout=900)
    assert child.returncode, printed
    return int(max(path.stem for path in out.glob("step-*.keras")).removeprefix("step-")), *printed


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    """Six photos to train on, two to evaluate on and two without annotations, as in COCO's archives."""
    folder = tmp_path_factory.mktemp("coco")
    (folder / "annotations").mkdir()
    rng = np.random.default_rng(0)
    for split, count in (("train2017", 6), ("val2017", 2), ("test2017", 2)):
        (folder / split).mkdir()
        images = [{"id": n, "file_name": f"{n:012}.jpg", "height": 64, "width": 64} for n in range(1, count + 1)]
        annotations = []
        for image in images:
            pixels = np.full((64, 64, 3), 90, np.uint8)
            pixels[16:48, 16:48] = rng.integers(0, 255, 3)
            Image.fromarray(pixels).save(folder / split / image["file_name"])
            annotation = {"id": image["id"], "image_id": image["id"], "category_id": 18, "iscrowd": 0, "area": 1024}
            annotation |= {"bbox": [16, 16, 32, 32], "segmentation": [[16, 16, 48, 16, 48, 48, 16, 48]]}
            annotations.append(annotation)
        found = {"images": images, "categories": [{"id": 18, "name": "dog"}, {"id": 90, "name": "toothbrush"}]}
        file = f"image_info_{split.replace('test', 'test-dev')}.json"
        if split != "test2017":
            file, found["annotations"] = f"instances_{split}.json", annotations
        (folder / "annotations" / file).write_text(json.dumps(found))
    return folder


@pytest.mark.slow
def test_coco_killed_resumed_on_two_devices_evaluated_and_sent_in(coco, load_sample, tmp_path, capsys):
    pytest.importorskip("tensorboard")
    out, logs = tmp_path / "out", tmp_path / "logs"
    words = ["train", "--dataset", coco, "--out", out, "--preset", "mask_rcnn_narrow_fpn", "--schedule", "paper"]
    words += ["--precision", "mixed_bfloat16", *SETTINGS]
    child = started("coco", [*words, "--steps", 300], before=_EAGERLY + _KEEPS_EVERY_STEP)
    step, printed, _ = stopped(child, out, signal.SIGKILL)
    assert step < 300
    told = "6 images to train on, 2 to validate on; schedule paper: {} steps of 2 images on {} device"
    assert told.format(300, 1) in printed
    assert load_sample("coco").main(texts(words)) == 2
    assert "add --resume" in capsys.readouterr().err
    epochs = step // 3 + 1  # of six images, in batches of two
    model = ["--dataset", coco, "--model", out / "last.keras", "--set", "score_threshold=0"]
    going_on = started(
        "coco",
        [*words, "--steps", 3 * epochs, "--replicas", 2, "--logs", logs, "--resume"],
        ["evaluate", "--replicas", 2, *model],
        ["submit", "--out", tmp_path / "results", *model],
        before=_EAGERLY,
    )
    printed, errors = going_on.communicate(timeout=900)
    assert going_on.returncode == 0, errors
    assert told.format(3 * epochs, 2) in printed
    assert {f"step-{3 * epochs:08}.keras", "last.keras", "best.keras"} <= {path.name for path in out.iterdir()}
    with open(out / "history.csv", newline="") as table:
        assert int(list(csv.DictReader(table))[-1]["epoch"]) == epochs - 1
    assert list(logs.glob("events.*"))
    assert "masks" in printed
    files = sorted((tmp_path / "results").iterdir())
    assert [file.name for file in files] == ["bbox.json", "segm.json"]
    for file in files:
        results = json.loads(file.read_text())
        assert {result["image_id"] for result in results} == {1, 2}
        assert {result["category_id"] for result in results} <= {18, 90}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:going on with other settings")  # that is, fewer steps
def test_cityscapes_stopped_resumed_evaluated_and_sent_in(load_sample, tmp_path, capsys):
    pytest.importorskip("cityscapesscripts")
    root, out = write_cityscapes(tmp_path / "cityscapes"), tmp_path / "out"
    words = ["train", "--dataset", root, "--out", out, "--preset", "mask_rcnn_narrow_fpn", *SETTINGS]
    child = started("cityscapes", [*words, "--steps", 100], before=_EAGERLY)
    step, _, errors = stopped(child, out, signal.SIGTERM)
    assert child.returncode == 128 + signal.SIGTERM and "the same call goes on from there" in errors
    assert 0 < step < 100
    main = load_sample("cityscapes").main
    assert main(texts([*words, "--steps", step + 1, "--resume"])) == 0
    assert (out / f"step-{step + 1:08d}.keras").is_file() and (out / "best.keras").is_file()
    capsys.readouterr()
    model = ["--dataset", root, "--model", out / "last.keras", "--set", "score_threshold=0"]
    assert main(texts(["evaluate", *model])) == 0
    assert "person" in capsys.readouterr().out
    assert main(texts(["submit", "--out", tmp_path / "results", *model])) == 0
    assert [path.name for path in (tmp_path / "results").glob("*.txt")] == ["berlin_000000_000019_leftImg8bit.txt"]


def test_schedules_see_as_many_images_with_other_batches():
    from mrcnn_keras.training.named_schedules import SCHEDULES

    assert SCHEDULES["paper"].config_fields(16)["total_steps"] == 160_000
    fields = SCHEDULES["updated"].config_fields(4)
    assert fields["total_steps"] == 360_000 and fields["batch_size"] == 4
    assert [round(fraction * 360_000) for fraction in fields["learning_rate_drops"]] == [240_000, 320_000]
    city = SCHEDULES["cityscapes"]
    assert (city.steps, city.drops, city.images, city.images_per_replica) == (24_000, (18_000,), 8, 1)
    fields = city.config_fields(8)
    assert (fields["train_min_sides"], fields["min_side_sampling"]) == ((800, 1024), "range")


@pytest.mark.parametrize(
    ("name", "steps", "drops", "images", "nms"),
    [
        ("paper", 160_000, (120_000,), 16, 0.3),
        ("paper_resnext", 160_000, (120_000,), 8, 0.3),
        ("updated", 180_000, (120_000, 160_000), 8, 0.5),
        ("augmented", 260_000, (200_000, 240_000), 8, 0.5),
        ("keypoint", 90_000, (60_000, 80_000), 16, 0.5),
        ("keypoint_updated", 130_000, (100_000, 120_000), 16, 0.5),
        ("keypoint_updated_resnext", 130_000, (100_000, 120_000), 8, 0.5),
        ("cityscapes", 24_000, (18_000,), 8, 0.3),
        ("cityscapes_from_coco", 4_000, (3_000,), 8, 0.3),
    ],
)
def test_schedules_are_the_papers(name, steps, drops, images, nms):
    from mrcnn_keras.config import make_config
    from mrcnn_keras.training.named_schedules import SCHEDULES

    schedule = SCHEDULES[name]
    assert (schedule.steps, schedule.drops, schedule.images) == (steps, drops, images)
    config = make_config(schedule.config_fields(images))
    assert config.nms_threshold == nms and config.total_steps == steps
    jitter = {"augmented", "keypoint", "keypoint_updated", "keypoint_updated_resnext"}
    assert (config.train_min_sides == (640, 800)) == (name in jitter)
