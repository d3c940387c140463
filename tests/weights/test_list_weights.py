"""`mrcnn-keras list-weights`."""

import json
import subprocess
import sys

import pytest

from mrcnn_keras import cli
from mrcnn_keras.weights.zoo import lookup as zoo
from mrcnn_keras.weights.zoo.download import cached_path

MASK = "detectron2/COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MRCNN_KERAS_HOME", str(tmp_path))


def listed(capsys, *words):
    assert cli.main(["list-weights", *words]) == 0
    return capsys.readouterr().out


def row_of(text, id):
    (line,) = [line for line in text.splitlines() if f" {id} " in line]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_the_table_holds_every_id_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")  # what is piped into a file is not cut to the terminal's width
    printed = listed(capsys)
    assert all(f" {model.id} " in printed for model in zoo.all_models())
    assert row_of(printed, MASK) == [MASK, "178", "41.0", "37.2", "", "CC BY-SA 3.0", ""]
    keypoints = "torchvision/keypointrcnn_resnet50_fpn_coco"
    assert row_of(printed, keypoints) == [keypoints, "237", "54.6", "", "65.0", "BSD-3-Clause", ""]


def test_what_is_in_the_cache_is_marked(capsys):
    path = cached_path(MASK)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    printed = listed(capsys)
    assert row_of(printed, MASK)[-1] == "cached" and printed.count("│ cached │") == 1


def test_a_filter_ignores_case(capsys):
    printed = listed(capsys, "Cityscapes/MASK")
    assert [line for line in printed.splitlines() if "detectron2/" in line] == [
        line for line in printed.splitlines() if "detectron2/Cityscapes/mask_rcnn_R_50_FPN" in line
    ]
    assert "detectron2/Cityscapes/mask_rcnn_R_50_FPN" in printed and "torchvision/" not in printed


def test_a_filter_that_fits_nothing_is_wrong_usage(capsys):
    assert cli.main(["list-weights", "yolo"]) == 2
    assert "'yolo'" in capsys.readouterr().err


def test_json_tells_all(capsys):
    cached_path(MASK).parent.mkdir(parents=True)
    cached_path(MASK).write_bytes(b"weights")
    rows = json.loads(listed(capsys, "--json"))
    assert [row["id"] for row in rows] == [model.id for model in zoo.all_models()]
    (row,) = [row for row in rows if row["cached"]]
    model = zoo.find(MASK)
    assert (row["id"], row["url"], row["ap"], row["path"]) == (MASK, model.url, model.ap, str(cached_path(MASK)))
    assert row["class_names"] == list(model.class_names)
    assert [row["id"] for row in json.loads(listed(capsys, "--json", "legacy"))] == [
        "torchvision/keypointrcnn_resnet50_fpn_coco_legacy"
    ]


@pytest.mark.parametrize("words", [["list-weights"], ["list-weights", "--json"], ["list-weights", "--help"]])
def test_tensorflow_is_left_alone(words):
    code = (
        "import sys; from mrcnn_keras.cli import main; status = main(sys.argv[1:]); "
        "sys.exit(status or 'tensorflow' in sys.modules)"
    )
    child = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert "list-weights" in child.stdout or "COCO-Detection" in child.stdout
