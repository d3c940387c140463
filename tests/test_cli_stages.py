"""Training in stages from the command line, and files of proposals."""

import json

import numpy as np
import pytest

from mrcnn_keras import MaskRCNN
from mrcnn_keras.commands import options
from mrcnn_keras.data import ProposalFile, ShapesDataset
from mrcnn_keras.data.dataset import names_of

from .coco_files import write_shapes
from .command_line import run
from .tiny import tiny_settings

pytestmark = pytest.mark.usefixtures("eager_training")

SETTINGS = tiny_settings(rpn_post_nms_topk_test=10)
STAGE_WISE = ["--set", "training_stages=stage_wise", "--set", "stage_proposals=stored"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_shapes(tmp_path_factory.mktemp("shapes"))
    return ["--images", folder / "images", "--annotations", folder / "instances.json"]


@pytest.fixture(scope="module")
def train(data):
    words = ["train", *data, "--preset", "mask_rcnn_narrow_fpn", *SETTINGS]
    return lambda out, *more: run(*words, "--out", out, *more)


@pytest.fixture(scope="module")
def trained(train, tmp_path_factory, eager_training):
    """The folder of a stage-wise training of two steps a stage."""
    out = tmp_path_factory.mktemp("trained")
    assert train(out, "--steps", 2, *STAGE_WISE) == 0
    return out


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The file of a model that has learned nothing."""
    path = tmp_path_factory.mktemp("model") / "model.keras"
    fields = dict(map(options.setting, SETTINGS[1::2]))
    MaskRCNN.from_preset("mask_rcnn_narrow_fpn", **fields, **names_of(ShapesDataset, keypoints=False)).save(path)
    return path


@pytest.fixture(scope="module")
def proposals(data, model):
    """A file with as many proposals as are detected from."""
    path = model.parent / "proposals.h5"
    words = ["proposals", "--model", model, *data, "--out", path, "--batch-size", 2]
    assert run(*words, "--set", "rpn_post_nms_topk_train=10") == 0
    return path


@pytest.mark.slow
def test_a_training_killed_between_two_stages_goes_on(train, trained, tmp_path, capsys):
    assert train(trained, "--steps", 2) == 2
    assert "add --resume" in capsys.readouterr().err
    assert train(trained, "--steps", 2, "--resume") == 2
    assert "other settings (training_stages)" in capsys.readouterr().err
    assert train(trained, "--steps", 2, "--resume", *STAGE_WISE) == 2
    assert "has had its 2 steps" in capsys.readouterr().err
    first = tmp_path / "stage-1-rpn"
    first.mkdir()
    (first / "last.keras").write_bytes((trained / first.name / "last.keras").read_bytes())
    assert train(tmp_path, "--steps", 2) == 2
    assert train(tmp_path, "--steps", 2, "--resume", *STAGE_WISE) == 0
    whole, resumed = (MaskRCNN.load(folder / "last.keras") for folder in (trained, tmp_path))
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_file_has_the_proposals_of_each_image(proposals):
    file = ProposalFile(proposals)
    assert list(file) == [f"{i}.png" for i in range(6)] and file.most == 10


@pytest.mark.slow
def test_proposals_of_a_file_are_as_good_as_the_rpns_own(data, model, proposals, tmp_path):
    found = {}
    for name, more in {"own": [], "file": ["--proposals", proposals]}.items():
        words = ["evaluate", "--model", model, *data, "--results", tmp_path / name, *more]
        assert run(*words) == 0
        found[name] = json.loads((tmp_path / name / "bbox.json").read_text())
    assert len(found["own"]) == len(found["file"]) > 6
    for one, other in zip(found["own"], found["file"], strict=True):
        assert (one["image_id"], one["category_id"]) == (other["image_id"], other["category_id"])
        np.testing.assert_allclose(one["bbox"], other["bbox"], atol=0.02)
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)


@pytest.mark.slow
def test_heads_learn_on_a_file(train, data, model, proposals, tmp_path, capsys):
    validation = [f"--validation-{word[2:]}" if str(word).startswith("--") else word for word in data]
    words = "--steps", 2, "--weights", model, *validation, "--proposals", proposals
    assert train(tmp_path, *words) == 2
    assert "--proposals needs --validation-proposals" in capsys.readouterr().err
    assert train(tmp_path, *words, "--validation-proposals", proposals) == 0
    before, after = MaskRCNN.load(model), MaskRCNN.load(tmp_path / "last.keras")
    for layer, same in {"rpn_head": True, "box_head": False}.items():
        pairs = zip(before.get_layer(layer).weights, after.get_layer(layer).weights, strict=True)
        assert all(np.array_equal(one, other) for one, other in pairs) == same, layer


def test_mistakes_are_named(data, tmp_path, capsys):
    words = ["proposals", "--model", tmp_path / "no.keras", *data, "--out", tmp_path / "p.h5"]
    assert run(*words) == 2
    assert "there is no file" in capsys.readouterr().err
    (tmp_path / "p.h5").write_text("text")
    words = ["train", *data, "--preset", "mask_rcnn_narrow_fpn", *SETTINGS, "--out", tmp_path / "out", "--steps", 1]
    assert run(*words, "--proposals", tmp_path / "p.h5") == 1
    assert "is not a whole file of proposals" in capsys.readouterr().err
    assert run(*words, "--validation-proposals", tmp_path / "p.h5") == 2
    assert "--validation-proposals goes with --proposals" in capsys.readouterr().err
