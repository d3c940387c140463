"""`mrcnn-keras distill`, and `train` on what it has written."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from mrcnn_keras.data import StickFiguresDataset
from mrcnn_keras.evaluation import coco_ground_truth

from .command_line import run
from .tiny import tiny_settings

PRESET = "keypoint_mask_rcnn_narrow_fpn"
SETTINGS = tiny_settings(tta_scales=(0.5, 1.0), rpn_post_nms_topk_test=5, max_detections=3)
pytestmark = pytest.mark.usefixtures("eager_training")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A folder with labelled images and their annotations, and photos of which one is broken."""
    folder = tmp_path_factory.mktemp("people")
    figures = StickFiguresDataset(7, seed=5, size=(64, 64), max_objects=2)
    content = coco_ground_truth(figures, 4).dataset
    for name in ("labelled", "photos"):
        (folder / name).mkdir()
    for index in range(7):
        part = "labelled" if index < 4 else "photos"
        Image.fromarray(figures.load_image(index)).save(folder / part / f"{index}.png")
    (folder / "photos" / "torn.jpg").write_bytes(b"torn")
    for image in content["images"]:
        image["file_name"] = f"{image['id']}.png"
    for annotation in content["annotations"]:
        annotation["segmentation"]["counts"] = annotation["segmentation"]["counts"].decode()
    (folder / "people.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The file of a tiny model that has learned nothing."""
    import mrcnn_keras as mk
    from mrcnn_keras.commands import options

    path = tmp_path_factory.mktemp("model") / "model.keras"
    names = mk.data.dataset.names_of(StickFiguresDataset, keypoints=True)
    mk.MaskRCNN.from_preset(PRESET, **dict(map(options.setting, SETTINGS[1::2])), **names).save(path)
    return path


def words_of(people):
    return ["--labelled-images", people / "labelled", "--labelled-annotations", people / "people.json"]


@pytest.mark.filterwarnings("ignore:going on with other settings")  # that is, more steps
def test_photos_are_labelled_and_trained_on_and_the_training_goes_on(people, model, tmp_path, capsys):
    out = tmp_path / "labels" / "photos.json"
    words = ["distill", "--model", model, *words_of(people), "--images", people / "photos"]
    assert run(*words, "--out", out, "--batch-size", 2) == 1  # one photo is broken
    printed = capsys.readouterr()
    assert "torn.jpg" in printed.err and "in 3 images" in printed.out and "person:" in printed.out
    coco = COCO(str(out))
    assert len(coco.imgs) == 3 and coco.anns
    for one in coco.anns.values():
        assert coco.annToMask(one).sum() == one["area"] and len(one["keypoints"]) == 39
        assert one["num_keypoints"] == np.count_nonzero(one["keypoints"][2::3])
    assert run("validate", "--images", people / "photos", "--annotations", out, "--jobs", 1) == 0
    data = ["--images", people / "labelled", "--annotations", people / "people.json"]
    data += ["--distilled-images", people / "photos", "--distilled-annotations", out, "--distilled-ratio", 0.5]
    train = ["train", *data, "--preset", PRESET, "--out", tmp_path / "run", *SETTINGS]
    capsys.readouterr()
    assert run(*train, "--steps", 2) == 0
    assert "steps of 2 images, 1 of them distilled" in capsys.readouterr().out
    assert run(*train, "--set", "batch_size=1", "--out", tmp_path / "other", "--steps", 2) == 2
    assert "batch_size=1" in capsys.readouterr().err
    assert run(*train, "--steps", 3, "--resume") == 0
    assert (tmp_path / "run" / "last.keras").exists()


def test_mistakes_are_named(people, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    words = ["distill", "--model", people / "people.json", *words_of(people), "--out", tmp_path / "out.json"]
    assert run(*words, "--images", tmp_path / "empty") == 2
    assert "no photos in" in capsys.readouterr().err
    assert run(*words[:-1], tmp_path, "--images", people / "photos") == 2
    assert "is a folder" in capsys.readouterr().err
    before = (people / "people.json").read_bytes()
    assert run(*words[:-1], people / "people.json", "--images", people / "photos") == 2
    assert "is --labelled-annotations" in capsys.readouterr().err and (people / "people.json").read_bytes() == before
    data = ["--images", people / "labelled", "--annotations", people / "people.json", "--preset", PRESET]
    data = ["train", *data, "--out", tmp_path / "run"]
    assert run(*data, "--distilled-ratio", 0.5) == 2 and "--distilled-images" in capsys.readouterr().err
    assert run(*data, "--distilled-images", people / "photos") == 2 and "go together" in capsys.readouterr().err
    content = json.loads((people / "people.json").read_text())
    content["categories"][0]["name"] = "dog"
    (tmp_path / "dogs.json").write_text(json.dumps(content))
    dogs = ["--distilled-images", people / "labelled", "--distilled-annotations", tmp_path / "dogs.json"]
    assert run(*data, *dogs) == 2 and "1 classes (dog" in capsys.readouterr().err
