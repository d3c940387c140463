"""Checkpoints with other settings than their own: what fits stays, what does not starts afresh and is said."""

import numpy as np
import pytest

from mrcnn_keras import MaskRCNN, MaskRCNNConfig
from mrcnn_keras.weights.checkpoint_config import architecture_differences
from mrcnn_keras.weights.systems.architecture import read_architecture

from ..tiny import tiny_model
from . import system_layouts as layouts
from .system_layouts import random_tensors, write

SHALLOW = (1, 1, 1, 1)


@pytest.fixture(scope="module")
def detectron2(tmp_path_factory):
    """A narrow, shallow checkpoint of Detectron2's."""
    return write(tmp_path_factory.mktemp("d2") / "narrow.pkl", random_tensors(layouts.detectron2(blocks=SHALLOW), 8))


def saved(tmp_path, **fields):
    """The path of a small model's file, and its weights."""
    model = tiny_model(**{"num_classes": 2, **fields})
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras", {v.path: v.numpy() for v in model.variables}


@pytest.mark.parametrize(
    ("fields", "fresh"),
    [
        ({"mask_loss": "softmax"}, {"mask_head"}),
        ({"mask_head": "mlp", "mask_head_fc_dim": 8}, {"mask_head"}),
        ({"non_local_blocks": (0, 0, 1, 0)}, {"backbone"}),
        ({"num_keypoints": 3, "keypoint_head_convs": 1, "keypoint_head_dim": 8}, {"keypoint_head"}),
        ({"roi_op": "pool", "score_threshold": 0.3}, set()),
    ],
)
def test_new_parts_are_fresh_and_the_rest_is_kept(detectron2, fields, fresh, capsys):
    model = MaskRCNN.from_pretrained(detectron2, strict=False, **fields)
    assert {path.split("/")[0] for path in model.load_report.fresh} == fresh
    assert "backbone/stem/kernel" in model.load_report.copied


def test_non_local_blocks_join_an_imagenet_backbone(tmp_path):
    shapes = {}
    layouts.torchvision_body(shapes, "")
    path = write(tmp_path / "resnet50.pth", random_tensors(shapes, 8))
    narrow = {"stem_channels": 8, "res2_channels": 32, "width_per_group": 8, "fpn_channels": 8, "box_head_dim": 16}
    model = MaskRCNN.from_preset(
        "mask_rcnn_resnet50_fpn", str(path), non_local_blocks=(0, 0, 1, 0), mask_head_dim=8, **narrow
    )
    assert "backbone/res4_non_local_0/output/kernel" in model.load_report.fresh


def test_no_imagenet_backbone_of_that_name():
    with pytest.raises(ValueError, match="no public ones of 'resnext152_32x8d', only of resnet18, .*resnext101_64x4d"):
        MaskRCNN.from_preset("mask_rcnn_resnext152_32x8d_fpn", weights="imagenet")


def test_public_models_keep_the_presets_training(monkeypatch, detectron2):
    from mrcnn_keras.weights import loading

    monkeypatch.setattr(loading, "open_checkpoint", lambda _, real=loading.open_checkpoint: real(detectron2))
    config = MaskRCNN.from_preset("mask_rcnn_resnext101_32x8d_fpn", weights="coco").config
    assert config.batch_size == 8 and config.pixel_std == (1.0, 1.0, 1.0)
    assert MaskRCNN.from_preset("mask_rcnn_resnet50_fpn", weights="coco", batch_size=3).config.batch_size == 3


def test_a_c4_checkpoint_brings_its_place_of_the_stride(tmp_path):
    path = write(tmp_path / "c4.pkl", random_tensors(layouts.detectron2("c4", SHALLOW), 8))
    narrow = {"stem_channels": 8, "res2_channels": 32, "width_per_group": 8, "mask_head_dim": 32, "rpn_channels": 128}
    config = MaskRCNN.from_preset("mask_rcnn_resnet50_c4", str(path), backbone_blocks=SHALLOW, **narrow).config
    assert config.box_pool_size == 14 and config.res5_stride == 2


@pytest.mark.parametrize("fields", [{"mask_loss": "softmax"}, {"mask_head": "mlp", "mask_head_fc_dim": 8}])
def test_class_maps_reach_the_masks_of_every_kind(tmp_path, fields):
    path, old = saved(tmp_path, class_names=("a", "b"), **fields)
    swap = {"b": "a", "a": "b"}
    model = MaskRCNN.from_pretrained(path, class_names=("a", "b"), class_map=swap)
    new = {v.path: v.numpy() for v in model.variables}
    masks = 3 if "mask_loss" in fields else 2
    for leaf in ("kernel", "bias"):
        theirs, ours = (values[f"mask_head/predictor/{leaf}"].reshape(-1, masks) for values in (old, new))
        np.testing.assert_array_equal(ours[:, [1, 0]], theirs[:, :2])
        np.testing.assert_array_equal(ours[:, 2:], theirs[:, 2:])
    fewer = MaskRCNN.from_pretrained(path, class_names=("b",), class_map="names")
    kernel = next(v.numpy() for v in fewer.variables if v.path == "mask_head/predictor/kernel")
    theirs = old["mask_head/predictor/kernel"].reshape(-1, masks)
    np.testing.assert_array_equal(kernel.reshape(-1, masks - 1)[:, 0], theirs[:, 1])


def test_keypoint_names_and_sigmas_stay_with_their_number(tmp_path):
    names = tuple(f"k{i}" for i in range(17))
    own = {"num_keypoints": 17, "keypoint_names": names, "keypoint_sigmas": (0.1,) * 17, "keypoint_skeleton": ((0, 1),)}
    path, _ = saved(tmp_path, num_classes=1, class_names=("person",), **own)
    for same in ({"score_threshold": 0.3}, {"num_keypoints": 17}):
        config = MaskRCNN.from_pretrained(path, **same).config
        assert config.keypoint_names == names and config.keypoint_sigmas == (0.1,) * 17
    for other in (0, 5):
        config = MaskRCNN.from_pretrained(path, num_keypoints=other).config
        assert config.keypoint_names == config.keypoint_sigmas == config.keypoint_skeleton == ()


def test_softmax_masks_are_not_written_for_other_systems(tmp_path):
    from mrcnn_keras.weights.writing import save_checkpoint

    model = tiny_model(mask_loss="softmax")
    for name in ("model.pkl", "model.pth"):
        with pytest.raises(ValueError, match="neither Detectron2 nor torchvision has softmax masks"):
            save_checkpoint(model, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("backbone", "name"),
    [
        ("resnet18", "resnet18"),
        ("resnet34", "resnet34"),
        ("resnext50_32x4d", "resnext50_32x4d"),
        pytest.param("resnext101_32x8d", "resnext101_32x8d", marks=pytest.mark.slow),
    ],
)
def test_backbones_are_recognised_by_their_shapes(backbone, name):
    from mrcnn_keras.backbones.resnet import ResNet

    config = MaskRCNNConfig(backbone=backbone)
    net = ResNet(config.block_counts, 64, *config.backbone_widths, basic=config.basic_blocks, name="backbone")
    net.build((None, 64, 64, 3))
    fields = read_architecture({v.path: tuple(v.shape) for v in net.variables})
    assert fields["backbone"] == name and fields["backbone_blocks"] == ()
    assert not architecture_differences(MaskRCNNConfig(**fields, freeze_at=0), config)
