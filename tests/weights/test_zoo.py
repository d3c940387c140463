"""The zoo: its rows are complete and consistent, and ids are found as people type them."""

import dataclasses
import re
import urllib.parse

import pytest

from mrcnn_keras.config import MaskRCNNConfig, make_config
from mrcnn_keras.weights.zoo import lookup as zoo

MODELS = zoo.all_models()
each = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)


def test_ids_and_addresses_are_unique():
    assert len({model.id.casefold() for model in MODELS}) == len(MODELS)
    assert len({model.url for model in MODELS}) == len(MODELS)


def test_the_families_are_whole():
    def count(part):
        return sum(part in model.id for model in MODELS)

    assert count("COCO-Detection/faster_rcnn") == count("COCO-InstanceSegmentation/mask_rcnn") == 10
    assert count("COCO-Keypoints") == 4
    assert count("Detectron1-Comparisons") == 3
    assert count("torchvision/maskrcnn") == count("torchvision/fasterrcnn") == count("torchvision/keypointrcnn") == 2
    assert not any(word in model.id for model in MODELS for word in ("cascade", "retinanet", "panoptic", "dconv"))


@each
def test_addresses_are_well_formed(model):
    parts = urllib.parse.urlsplit(model.url)
    assert parts.scheme == "https" and parts.hostname and not parts.query
    endings = {"detectron2": ".pkl", "torchvision": ".pth", "keras": ".h5", "matterport": ".h5"}
    assert model.file_name.endswith(endings[model.system])
    assert model.url.endswith("/" + model.file_name)


@each
def test_digests_are_those_of_the_file_names(model):
    if model.system == "keras":
        assert re.fullmatch(r"[0-9a-f]{32}", model.digest)
    elif model.digest:
        assert re.search(r"[-_]([0-9a-f]+)\.(pkl|pth)$", model.file_name)[1] == model.digest
        assert len(model.digest) == {"detectron2": 6, "torchvision": 8}[model.system]
    else:
        assert "ImageNetPretrained" in model.id or model.system == "matterport"


@each
def test_settings_are_config_fields(model):
    config = make_config(model.settings)
    default = MaskRCNNConfig()
    for name, value in model.settings.items():
        assert getattr(config, name) == value
    if model.system in ("keras", "matterport"):
        assert all(getattr(default, name) != value for name, value in model.settings.items())


@each
def test_settings_belong_to_one_model(model):
    others = [other for other in MODELS if other is not model]
    assert not any(other.settings is model.settings for other in others)


@each
def test_sizes_and_aps_are_plausible(model):
    assert model.size is None or 40e6 < model.size < 500e6
    assert set(model.ap) <= {"box", "mask", "keypoints"}
    assert all(20 < value < 70 for value in model.ap.values())
    if {"box", "mask"} <= set(model.ap) and "LVIS" not in model.id:
        assert model.ap["mask"] < model.ap["box"]
    assert ("keypoints" in model.ap) == ("keypoint" in model.id)
    assert model.licence


@pytest.mark.parametrize(
    "id, count, first, last",
    [
        ("detectron2/COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x", 80, "person", "toothbrush"),
        ("detectron2/Cityscapes/mask_rcnn_R_50_FPN", 8, "person", "bicycle"),
        ("detectron2/PascalVOC-Detection/faster_rcnn_R_50_C4", 20, "aeroplane", "tvmonitor"),
        ("detectron2/COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x", 1, "person", "person"),
        ("torchvision/maskrcnn_resnet50_fpn_coco", 90, "person", "toothbrush"),
        ("torchvision/keypointrcnn_resnet50_fpn_coco", 1, "person", "person"),
        ("matterport/mask_rcnn_coco", 80, "person", "toothbrush"),
    ],
)
def test_class_names(id, count, first, last):
    names = zoo.find(id).class_names
    assert (len(names), names[0], names[-1]) == (count, first, last)


def test_torchvision_names_stand_at_their_coco_ids():
    names = ("background", *zoo.find("torchvision/fasterrcnn_resnet50_fpn_coco").class_names)
    assert names.count("N/A") == 10
    ids = {"fire hydrant": 11, "stop sign": 13, "umbrella": 28, "handbag": 31, "bed": 65, "toilet": 70, "book": 84}
    assert {name: names.index(name) for name in ids} == ids


def test_backbones_have_neither_classes_nor_ap():
    backbones = [model for model in MODELS if not model.class_names and "LVIS" not in model.id]
    assert len(backbones) == 7 + 13 + 3
    assert not any(model.ap for model in backbones)


def test_what_the_configs_set():
    settings = zoo.find("Cityscapes/mask_rcnn_R_50_FPN").settings
    assert (settings["image_min_side"], settings["image_max_side"]) == (1024, 2048)
    for name in ("faster_rcnn_R_50_FPN_noaug_1x", "mask_rcnn_R_50_FPN_noaug_1x", "keypoint_rcnn_R_50_FPN_1x"):
        settings = zoo.find(f"Detectron1-Comparisons/{name}").settings
        assert settings["roi_aligned"] is False and settings["roi_sampling_ratio"] == 2
        assert (settings["rpn_smooth_l1_beta"], settings["box_smooth_l1_beta"]) == (0.1111, 1.0)
    for model in MODELS:
        if "9x" in model.id:
            assert model.settings["pixel_std"] == (58.395, 57.12, 57.375)
    assert zoo.find("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x").settings == {}
    assert zoo.find("torchvision/maskrcnn_resnet50_fpn_coco").settings == {}
    assert zoo.find("torchvision/keypointrcnn_resnet50_fpn_coco_legacy").settings["norm_epsilon"] == 1e-5


@each
def test_every_id_is_found(model):
    assert zoo.find(model.id) is model
    assert zoo.find(f" {model.id.upper()}.yaml") is model


@pytest.mark.parametrize(
    "text, id",
    [
        ("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml", "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x"),
        ("mask_rcnn_R_50_FPN_3x", "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x"),
        ("new_baselines/mask_rcnn_R_50_FPN_100ep_LSJ.py", "new_baselines/mask_rcnn_R_50_FPN_100ep_LSJ"),
        ("MSRA/R-101", "ImageNetPretrained/MSRA/R-101"),
    ],
)
def test_what_may_be_left_out(text, id):
    assert zoo.find(text).id == f"detectron2/{id}"


@pytest.mark.parametrize(
    "text, named",
    [
        ("resnet50", ["torchvision/resnet50", "imagenet/resnet50"]),
        ("mask_rcnn_R_50_FPN_1x", ["COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x", "LVISv0.5-Instance"]),
        ("mask_rcnn_R50_FPN_3x", ["detectron2/COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x"]),
        ("torchvision/maskrcnn_resnet50_fpn", ["torchvision/maskrcnn_resnet50_fpn_coco"]),
        ("imagenet/resnet_101", ["imagenet/resnet101"]),
        ("yolo", ["list-weights"]),
        ("", ["list-weights"]),
        ("/", ["list-weights"]),
    ],
)
def test_what_is_not_found_or_not_one_names_the_near_ones(text, named):
    with pytest.raises(ValueError, match=re.escape(repr(text))) as error:
        zoo.find(text)
    assert all(name in str(error.value) for name in named)


def test_imagenet_5k_is_public_for_one_backbone_and_the_error_for_others_says_what_to_give():
    model = zoo.find(zoo.imagenet_5k("resnext152_32x8d"))
    assert model.file_name == "X-152-32x8d-IN5k.pkl"
    for ask, argument in ((zoo.imagenet_5k, "resnext101_32x8d"), (zoo.find, "FAIR/X-101-32x8d-IN5k")):
        with pytest.raises(ValueError, match="no public ImageNet-5k weights of 'resnext101_32x8d'.*path of your own"):
            ask(argument)


def test_a_preset_without_public_imagenet_5k_weights_says_so_before_it_is_built():
    from mrcnn_keras import MaskRCNN

    with pytest.raises(ValueError, match="X-152-32x8d-IN5k.*path of your own"):
        MaskRCNN.from_preset("mask_rcnn_resnext101_32x8d_fpn_180k", weights="imagenet5k")
    with pytest.raises(ValueError, match="'imagenet5k' has them"):
        MaskRCNN.from_preset("mask_rcnn_resnext152_32x8d_fpn", weights="imagenet")


def test_models_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        MODELS[0].url = ""
