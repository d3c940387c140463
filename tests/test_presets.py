"""Every preset as a user meets it: its size, its place in the paper, and that it builds, trains and detects."""

import importlib.util
import json
import pathlib
import re

import keras
import numpy as np
import pytest

from mrcnn_keras import MaskRCNN, cli
from mrcnn_keras.data import ShapesDataset, StickFiguresDataset
from mrcnn_keras.presets import PRESETS, preset_config
from mrcnn_keras.weights.zoo.lookup import all_models

from .tiny import FIELDS

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Detectron2's own counts.
DETECTRON2 = {
    "mask_rcnn_resnet50_fpn": 44_343_216,
    "mask_rcnn_resnet50_c4": 35_909_612,
    "mask_rcnn_resnet101_fpn": 63_283_120,
    "keypoint_rcnn_resnet50_fpn": 59_133_158,
    "mask_rcnn_resnet50_fpn_cityscapes": 43_955_712,
}

# Settings that leave a preset's kind of network and make it small; one stage has two blocks for a non-local one.
SMALL = {
    **FIELDS,
    "train_min_sides": (),
    "backbone_blocks": (1, 1, 2, 1),
    "box_head_conv_dim": 8,
    "keypoint_head_convs": 2,
    "rpn_pre_nms_topk_train": 60,
    "rpn_pre_nms_topk_test": 40,
}


@pytest.fixture(scope="module")
def counted():
    """benchmarks/presets.py as a module."""
    spec = importlib.util.spec_from_file_location("count_presets", ROOT / "benchmarks" / "presets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small(name):
    fields = PRESETS[name].fields
    grouped = preset_config(name).backbone_widths[1] > 1
    basic = preset_config(name).basic_blocks
    widths = {"res2_channels": 8 if basic else 16, "width_per_group": 1 if grouped else 8}
    norms = {key: "batch" for key in ("backbone_norm",) if fields.get(key) != "group"}
    return preset_config(name, **{**SMALL, **widths, **norms, "num_classes": _classes(name)})


def _classes(name):
    return 1 if "person" in name or "keypoint" in name else 3


def scenes(config):
    size = (64, 64)
    if config.num_keypoints:
        return StickFiguresDataset(4, seed=0, size=size)
    images = ShapesDataset(4, seed=0, size=size)
    return images if config.num_classes == 3 else OneClass(images)


class OneClass(ShapesDataset):
    """Shapes, all of one class."""

    class_names = ("person",)

    def __init__(self, images):
        super().__init__(len(images), images.seed, images.size)

    def load_annotations(self, index):
        found = super().load_annotations(index)
        found.class_ids[:] = 0
        return found


def one_of_each_kind():
    """Of all presets with the same parts, the first; they differ in depth, in width and in their schedules."""
    kinds = {}
    for name in PRESETS:
        c = small(name)
        block = c.basic_blocks, c.backbone_widths[1] > 1, c.backbone_norm, any(c.non_local_blocks)
        parts = c.features, c.fpn_norm, c.box_head, c.head_norm, c.mask_head, c.num_keypoints > 0, bool(c.scale_jitter)
        kinds.setdefault((*block, *parts), name)
    fast = ("keypoint_mask_rcnn_narrow_fpn",)
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in kinds.values()]


@pytest.mark.parametrize("name", one_of_each_kind())
def test_builds_trains_and_detects(name):
    keras.backend.clear_session()
    config = small(name)
    images = scenes(config)
    if config.num_keypoints:
        config = config.replace(num_keypoints=len(images.keypoints))
    model = MaskRCNN(config)
    kernels = [v for v in model.trainable_variables if v.path.endswith("/kernel")]
    before = [v.numpy() for v in kernels]
    model.compile(keras.optimizers.SGD(0.01, clipnorm=1.0), run_eagerly=True)  # one step is not worth a graph
    history = model.fit(images, epochs=1, steps_per_epoch=1, verbose=0).history
    assert np.isfinite([values[-1] for values in history.values()]).all()
    moved = [v.path for v, old in zip(kernels, before) if not np.array_equal(v.numpy(), old)]
    # What a non-local block looks for counts only once its last convolution, which starts at zero, has moved.
    unmoved = {v.path for v in kernels} - set(moved)
    assert not [path for path in unmoved if "non_local" not in path or path.endswith("output/kernel")]
    (found,) = model.detect(images.load_image(0))
    assert len(found)
    assert (found.masks is not None) == (config.mask_head != "none")
    assert (found.keypoints is not None) == (config.num_keypoints > 0)
    summary = []
    model.summary(print_fn=lambda line, **_: summary.append(line))
    assert len("\n".join(summary).splitlines()) < 150


# Those that no other builder's count vouches for, and the largest, which take GBs, are counted by
# benchmarks/presets.py; some of each kind are enough.
OTHERS = ("mask_rcnn_resnet18_fpn", "mask_rcnn_resnet50_fpn_gn", "keypoint_mask_rcnn_narrow_fpn", "mask_rcnn_narrow_c4")


# Of one network of each kind of features and heads the multiply-adds are counted, too.
MULTIPLY_ADDS = ("mask_rcnn_resnet50_fpn", "keypoint_rcnn_resnet50_fpn", "mask_rcnn_resnet50_c4")


@pytest.fixture
def weights_of_zeros(monkeypatch):
    """Models start from zeros, as it takes longer to draw large weights than to build the layers."""

    def zeros(initializer, shape, dtype=None, **_):
        return keras.ops.zeros(shape, dtype)

    for kind in (keras.initializers.VarianceScaling, keras.initializers.RandomNormal):
        monkeypatch.setattr(kind, "__call__", zeros)


@pytest.mark.parametrize(
    "name",
    [name if name in MULTIPLY_ADDS else pytest.param(name, marks=pytest.mark.slow) for name in (*DETECTRON2, *OTHERS)],
)
def test_counts_are_those_of_the_table(name, counted, weights_of_zeros):
    keras.backend.clear_session()
    model = MaskRCNN(preset_config(name))
    count = counted.parameters(model)
    assert count == PRESETS[name].parameters == DETECTRON2.get(name, count)
    if name in MULTIPLY_ADDS:
        assert counted.multiply_adds(model) / 1e9 == pytest.approx(PRESETS[name].gflops, abs=0.06)


def test_twins_are_public_checkpoints():
    known = {model.id for model in all_models()}
    assert not [twin for preset in PRESETS.values() for twin in preset.twins if twin not in known]


# The rows of the paper's tables that are the paper's own models, by their last AP (of 2b to 2e and 6, the default's).
ROWS = {
    "1": (33.1, 35.7, 37.1),
    "2a": (30.3, 32.7, 33.6, 35.4, 36.7),
    "2b": (30.3,),
    "2c": (30.3,),
    "2d": (34.0,),
    "2e": (33.6,),
    "3": (37.3, 38.2, 39.8),
    "4": (62.7, 63.1),
    "5": (52.5, 45.8, 64.2, 64.7),
    "6": (64.2,),
    "7": (31.5, 36.4),
    "8": (36.7, 37.0, 37.6, 38.6, 39.2, 39.7, 40.3, 41.8),
    "9": (64.2, 65.1, 66.1, 67.3, 69.1, 70.4),
}


@pytest.mark.parametrize("table", ROWS)
def test_every_model_of_the_papers_tables_is_a_preset(table):
    said = set()
    for preset in PRESETS.values():
        for row in preset.rows:
            numbers, _, text = row.partition(":")
            if table in [number.strip() for number in numbers.split(",")]:
                said |= {float(number) for number in re.findall(r"\d\d\.\d", text)} | set(preset.ap.values())
    assert set(ROWS[table]) <= said


def test_a_preset_bends_with_its_backbone_and_sides():
    assert preset_config("mask_rcnn_narrow_fpn", backbone="resnet101").backbone_widths == (64, 1, 32)
    assert preset_config("mask_rcnn_narrow_fpn", backbone="resnext50_32x4d").backbone_widths == (256, 32, 4)
    assert preset_config("mask_rcnn_resnet50_fpn", backbone="resnet18").backbone_widths == (64, 1, 64)
    jitter = [(config.train_min_sides, config.min_side_sampling) for config in (
        preset_config("keypoint_rcnn_resnet50_fpn", **sides)
        for sides in ({}, {"image_min_side": 320}, {"train_min_sides": (320, 352, 384)})
    )]  # fmt: skip
    assert jitter == [((640, 800), "range"), ((), "choice"), ((320, 352, 384), "choice")]


def test_the_command_prints_them(capsys):
    assert cli.main(["presets"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in PRESETS)
    assert "64.2" in printed and "44.3" in printed and "mask_rcnn_R_50_FPN_3x" in printed
    assert cli.main(["presets", "c4", "--fields"]) == 0
    printed = capsys.readouterr().out
    assert "box_head='res5'" in printed and "mask_rcnn_resnet50_fpn" not in printed
    assert cli.main(["presets", "--json", "resnet18"]) == 0
    assert json.loads(capsys.readouterr().out)["mask_rcnn_resnet18_fpn"]["fields"] == {"backbone": "resnet18"}
    assert cli.main(["presets", "resnet19"]) == 2
    assert "'resnet19'" in capsys.readouterr().err


def test_class_names_give_way_to_another_number_of_classes():
    assert preset_config("mask_rcnn_resnet50_fpn_cityscapes").class_names[1] == "rider"
    assert preset_config("mask_rcnn_resnet50_fpn_cityscapes", num_classes=3).class_names == ()
    assert preset_config("person_mask_rcnn_resnet50_fpn", num_classes=1).class_names == ("person",)
