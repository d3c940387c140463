"""The command line on people with keypoints: train, evaluate, detect."""

import json

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.data import StickFiguresDataset
from mrcnn_keras.evaluation import coco_ground_truth

from .command_line import run
from .tiny import tiny_settings

SETTINGS = tiny_settings()
pytestmark = pytest.mark.usefixtures("eager_training")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Four drawn images with a COCO file of keypoints, and a fifth with nobody in it."""
    folder = tmp_path_factory.mktemp("people")
    figures = StickFiguresDataset(4, seed=5, size=(64, 64), max_objects=2)
    content = coco_ground_truth(figures).dataset
    content["images"].append({"id": 4, "height": 64, "width": 64})
    for image in content["images"]:
        image["file_name"] = f"{image['id']}.png"
        pixels = figures.load_image(image["id"]) if image["id"] < 4 else np.zeros((64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / image["file_name"])
    for annotation in content["annotations"]:
        annotation["segmentation"]["counts"] = annotation["segmentation"]["counts"].decode()
    (folder / "people.json").write_text(json.dumps(content))
    return folder


def test_training_evaluating_and_detecting_people(people, tmp_path, capsys):
    data = ["--images", people, "--annotations", people / "people.json"]
    out = tmp_path / "out"
    assert run("train", *data, "--preset", "keypoint_rcnn_narrow_fpn", "--out", out, "--steps", 1, *SETTINGS) == 0
    assert "1 of 5 images have no labelled keypoint" in capsys.readouterr().out
    assert run("evaluate", *data, "--model", out / "last.keras", "--out", tmp_path / "metrics.json") == 0
    assert "points" in capsys.readouterr().out
    assert set(json.loads((tmp_path / "metrics.json").read_text())) == {"bbox", "keypoints"}
    assert run("detect", people / "0.png", "--model", out / "last.keras", "--out", tmp_path, "--min-score", 0) == 0
    found = json.loads((tmp_path / "detections.json").read_text())
    (category,) = found["categories"]
    assert category["keypoints"] == list(StickFiguresDataset.keypoints.names) and [1, 2] in category["skeleton"]
    assert len(found["annotations"][0]["keypoints"]) == 3 * 13


def test_annotations_without_keypoints_are_a_usage_error(people, tmp_path, capsys):
    content = json.loads((people / "people.json").read_text())
    content["categories"] = [{"id": 1, "name": "person"}]
    (tmp_path / "bare.json").write_text(json.dumps(content))
    data = ["--images", people, "--annotations", tmp_path / "bare.json"]
    words = ["train", *data, "--preset", "keypoint_rcnn_narrow_fpn", "--out", tmp_path / "out", *SETTINGS]
    assert run(*words) == 2
    assert "no keypoints in" in capsys.readouterr().err
