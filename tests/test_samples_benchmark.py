"""The samples for COCO and Cityscapes, on a few small photos in the benchmarks' own folders."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from .cityscapes_files import write_cityscapes
from .test_samples import SETTINGS

SAMPLES = pathlib.Path(__file__).resolve().parent.parent / "samples"


def run(name, *words, wait=True):
    """Run a sample; its output and errors, or with `wait=False` the process."""
    command = [sys.executable, f"{name}.py", *map(str, words)]
    child = subprocess.Popen(command, cwd=SAMPLES, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if not wait:
        return child
    out, errors = child.communicate(timeout=900)
    assert child.returncode == 0, errors
    return out


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


@pytest.mark.parametrize("name", ["coco", "cityscapes"])
def test_help_and_mistakes_without_tensorflow(name, tmp_path):
    code = f"import sys, {name} as s; print(s.main(sys.argv[1:]), 'tensorflow' in sys.modules)"
    mistakes = {("train", "--dataset", str(tmp_path)): 2, ("train", "--dataset", "absent"): 2, ("--help",): 0}
    for words, status in {**mistakes, ("train", "--help"): 0}.items():
        child = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=SAMPLES)
        assert child.stdout.split()[-2:] == [str(status), "False"], child.stderr
    assert "keypoint" in child.stdout and "--replicas" in child.stdout and "--precision" in child.stdout


@pytest.mark.slow
def test_coco_on_two_devices_killed_resumed_evaluated_and_sent_in(coco, tmp_path):
    pytest.importorskip("tensorboard")
    out, logs = tmp_path / "out", tmp_path / "logs"
    words = ["train", "--dataset", coco, "--out", out, "--preset", "mask_rcnn_narrow_fpn", "--schedule", "paper"]
    words += ["--replicas", 2, "--logs", logs, "--precision", "mixed_bfloat16", *SETTINGS]
    child = run("coco", *words, "--steps", 6, wait=False)
    first = child.stdout.readline()
    while not list(out.glob("step-*.keras")) and child.poll() is None:
        time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert "6 images to train on, 2 to validate on; schedule paper: 6 steps of 2 images on 2 devices" in first
    assert (
        "add --resume"
        in subprocess.run(
            [sys.executable, "coco.py", *map(str, words)], cwd=SAMPLES, capture_output=True, text=True
        ).stderr
    )
    run("coco", *words, "--steps", 6, "--resume")
    assert {"step-00000006.keras", "last.keras", "best.keras", "history.csv"} <= {path.name for path in out.iterdir()}
    assert len((out / "history.csv").read_text().splitlines()) == 1 + 2  # six images, batches of two
    assert list(logs.glob("events.*"))
    model = ["--model", out / "last.keras", "--set", "score_threshold=0"]
    assert "masks" in run("coco", "evaluate", "--dataset", coco, "--replicas", 2, *model)
    run("coco", "submit", "--dataset", coco, "--out", tmp_path / "results", *model)
    files = sorted((tmp_path / "results").iterdir())
    assert [file.name for file in files] == ["bbox.json", "segm.json"]
    for file in files:
        results = json.loads(file.read_text())
        assert {result["image_id"] for result in results} == {1, 2}
        assert {result["category_id"] for result in results} <= {18, 90}


@pytest.mark.slow
def test_cityscapes_stopped_resumed_evaluated_and_sent_in(tmp_path):
    pytest.importorskip("cityscapesscripts")
    root, out = write_cityscapes(tmp_path / "cityscapes"), tmp_path / "out"
    words = ["train", "--dataset", root, "--out", out, "--preset", "mask_rcnn_narrow_fpn", *SETTINGS]
    child = run("cityscapes", *words, "--steps", 40, wait=False)
    while not list(out.glob("step-*.keras")) and child.poll() is None:
        time.sleep(0.1)
    child.send_signal(signal.SIGTERM)
    _, errors = child.communicate()
    assert child.returncode == 128 + signal.SIGTERM and "the same call goes on from there" in errors
    stopped = int(max(path.stem for path in out.glob("step-*.keras")).removeprefix("step-"))
    assert 0 < stopped < 40
    run("cityscapes", *words, "--steps", stopped + 1, "--resume")
    assert (out / f"step-{stopped + 1:08d}.keras").is_file() and (out / "best.keras").is_file()
    model = ["--model", out / "last.keras", "--set", "score_threshold=0"]
    assert "person" in run("cityscapes", "evaluate", "--dataset", root, *model)
    run("cityscapes", "submit", "--dataset", root, "--out", tmp_path / "results", *model)
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
