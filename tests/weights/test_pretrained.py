"""Checkpoints of other systems as models: architecture, names, classes, errors, and the way back."""

import json
import pickle

import numpy as np
import pytest

from mrcnn_keras.weights.readers.checkpoint import CheckpointError, read_checkpoint

from . import system_layouts as layouts
from .system_layouts import random_tensors, write

# One block a stage, which is built in a tenth of the time.
SHALLOW = (1, 1, 1, 1)
LAYOUTS = {
    "d2_r50_fpn": layouts.detectron2(),
    "d2_r50_c4": layouts.detectron2("c4"),
    "d2_r101_dc5": layouts.detectron2("dc5", (3, 4, 23, 3)),
    "d2_x101_32x8d_fpn": layouts.detectron2(blocks=SHALLOW, groups=32, width=8),
    "d2_keypoint_r50_fpn": layouts.detectron2(keypoints=True),
    "tv_v1": layouts.torchvision(),
    "tv_v2": layouts.torchvision(2),
    "tv_keypoint": layouts.torchvision(keypoints=True),
}
SHALLOW_LAYOUTS = {
    "d2_fpn": layouts.detectron2(blocks=SHALLOW),
    "d2_c4": layouts.detectron2("c4", SHALLOW),
    "d2_dc5": layouts.detectron2("dc5", SHALLOW),
    "d2_keypoint": layouts.detectron2(blocks=SHALLOW, keypoints=True),
    "tv_v1": layouts.torchvision(blocks=SHALLOW),
    "tv_v1_old_names": layouts.torchvision(old_names=True, blocks=SHALLOW),
    "tv_v2": layouts.torchvision(2, blocks=SHALLOW),
    "tv_keypoint": layouts.torchvision(keypoints=True, blocks=SHALLOW),
}
FIELDS = {
    "d2_r50_fpn": {"backbone": "resnet50", "features": "fpn", "num_classes": 80, "stride_in_1x1": True,
                   "pixel_std": (1.0, 1.0, 1.0), "roi_sampling_ratio": 0, "box_head": "2fc"},
    "d2_r50_c4": {"features": "c4", "box_head": "res5", "mask_head_convs": 0, "size_divisor": 1,
                  "rpn_pre_nms_topk_test": 6000},
    "d2_r101_dc5": {"backbone": "resnet101", "features": "dc5", "box_pool_size": 7},
    "d2_x101_32x8d_fpn": {"backbone_blocks": SHALLOW, "num_groups": 32, "width_per_group": 8,
                          "stride_in_1x1": False, "pixel_std": (58.395, 57.12, 57.375)},
    "d2_keypoint_r50_fpn": {"num_classes": 1, "class_names": ("person",), "num_keypoints": 17, "mask_head": "none",
                            "keypoint_head_dim": 256, "rpn_post_nms_topk_train": 1500},
    "tv_v1": {"num_classes": 90, "norm_epsilon": 0.0, "backbone_norm": "frozen", "resize": "torchvision",
              "mask_paste": "padded"},
    "tv_v2": {"backbone_norm": "batch", "norm_epsilon": 1e-5, "rpn_convs": 2, "box_head": "4conv1fc",
              "head_norm": "batch", "fpn_norm": "batch"},
    "tv_keypoint": {"num_classes": 1, "keypoint_score": "logit", "num_keypoints": 17},
}  # fmt: skip
# What torchvision has for the background besides its score is never read, and comes back as zeros.
DROPPED = ("box_predictor.bbox_pred", "mask_predictor.mask_fcn_logits")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """Paths of narrow, shallow checkpoints by name, made on first use."""
    folder = tmp_path_factory.mktemp("narrow")

    def get(name):
        path = folder / f"{name}{'.pkl' if name.startswith('d2') else '.pth'}"
        return path if path.exists() else write(path, random_tensors(SHALLOW_LAYOUTS[name], 8))

    return get


def from_pretrained(*args, **kwargs):
    from mrcnn_keras import MaskRCNN

    return MaskRCNN.from_pretrained(*args, **kwargs)


def assert_comes_back(model, path, tmp_path):
    """Every tensor was used once, every variable set once, and the converted file is the same, bit for bit."""
    from mrcnn_keras.weights.writing import save_checkpoint

    report = model.load_report
    theirs = read_checkpoint(path).tensors
    weights = [name for name in theirs if not name.endswith("num_batches_tracked")]
    assert not report.fresh and not report.unused
    assert len(report.copied) == len(set(report.copied)) == len(weights)
    assert {v.path for v in model.variables if not v.path.endswith("/draws")} == set(report.copied)
    back = read_checkpoint(save_checkpoint(model, tmp_path / f"back{path.suffix}")).tensors
    assert set(back) == set(weights)
    for name, value in back.items():
        dropped = path.suffix == ".pth" and any(mark in name for mark in DROPPED)
        background = (4 if "bbox_pred" in name else 1) if dropped else 0
        np.testing.assert_array_equal(value[background:], theirs[name][background:], err_msg=name)
        assert not dropped or not value[:background].any()


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_whole_checkpoints_load_and_come_back(name, tmp_path):
    divisor = 1 if "x101" in name else 2  # half as wide takes a quarter of the memory
    path = tmp_path / f"{name}{'.pkl' if name.startswith('d2') else '.pth'}"
    write(path, random_tensors(LAYOUTS[name], divisor))
    model = from_pretrained(path)
    for field, value in FIELDS[name].items():
        assert getattr(model.config, field) == value, field
    assert_comes_back(model, path, tmp_path)


@pytest.mark.parametrize("name", [name for name in SHALLOW_LAYOUTS if name != "tv_v1_old_names"])
def test_narrow_checkpoints_load_whole_and_come_back(name, narrow, tmp_path):
    model = from_pretrained(narrow(name))
    assert model.config.res2_channels == 32 and model.config.stem_channels == 8
    assert_comes_back(model, narrow(name), tmp_path)


def test_torchvisions_old_names_mean_the_same(narrow):
    old, new = from_pretrained(narrow("tv_v1_old_names")), from_pretrained(narrow("tv_v1"))
    assert old.config == new.config
    # The same numbers in the same order under both names.
    for a, b in zip(old.variables, new.variables):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


def test_system_prefixes_of_parallel_training_are_taken_off(narrow, tmp_path):
    tensors = read_checkpoint(narrow("d2_fpn")).tensors
    path = write(tmp_path / "parallel.pkl", {f"module.{name}": value for name, value in tensors.items()})
    assert not from_pretrained(path).load_report.fresh


def changed(narrow, tmp_path, change, name="d2_fpn"):
    """A narrow checkpoint after `change(tensors)`."""
    tensors = dict(read_checkpoint(narrow(name)).tensors)
    change(tensors)
    return write(tmp_path / narrow(name).name, tensors)


def test_unknown_tensors_are_listed_and_can_be_left_out(narrow, tmp_path):
    path = changed(narrow, tmp_path, lambda t: t.update({"roi_heads.extra.weight": np.ones(3, np.float32)}))
    with pytest.raises(CheckpointError, match=r"1 tensors have no place.*roi_heads\.extra\.weight.*strict=False"):
        from_pretrained(path)
    assert from_pretrained(path, strict=False).load_report.unused == ("roi_heads.extra.weight",)


def test_constants_in_a_file_are_no_weights(narrow, tmp_path):
    def add(tensors):
        tensors["pixel_mean"] = np.array([1.0, 2.0, 3.0], np.float32).reshape(3, 1, 1)
        tensors["proposal_generator.anchor_generator.cell_anchors.0"] = np.zeros((3, 4), np.float32)

    model = from_pretrained(changed(narrow, tmp_path, add))
    assert model.config.pixel_mean == (3.0, 2.0, 1.0) and not model.load_report.unused


def test_missing_tensors_are_named(narrow, tmp_path):
    path = changed(narrow, tmp_path, lambda t: t.pop("roi_heads.box_head.fc2.bias"))
    with pytest.raises(CheckpointError, match=r"1 weights of the model are not filled: box_head/fc2/bias"):
        from_pretrained(path)


def test_numbers_that_are_not_finite_are_named(narrow, tmp_path):
    def spoil(tensors):
        tensors["roi_heads.box_head.fc2.bias"] = np.full(128, np.nan, np.float32)

    with pytest.raises(CheckpointError, match=r"fc2\.bias holds something else than finite numbers"):
        from_pretrained(changed(narrow, tmp_path, spoil))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"encoder.weight": np.ones(3, np.float32)}, r"names of none of Detectron2, torchvision, matterport"),
        ({"backbone.bottom_up.stem.conv1.weight": np.ones((8, 3, 7, 7), np.float32)}, "it has no ResNet"),
        ({"backbone.net.patch_embed.proj.weight": np.ones((8, 3), np.float32)}, "vision transformer"),
        ({"head.cls_subnet.0.weight": np.ones((8, 3), np.float32)}, "RetinaNet"),
    ],
)
def test_other_models_are_refused_by_name(tmp_path, tensors, message):
    with pytest.raises(CheckpointError, match=message):
        from_pretrained(write(tmp_path / "other.pkl", tensors))


def test_cascades_are_refused_by_name(narrow, tmp_path):
    path = changed(narrow, tmp_path, lambda t: t.update({"roi_heads.box_head.0.fc1.weight": np.ones((2, 2))}))
    with pytest.raises(CheckpointError, match="Cascade R-CNN"):
        from_pretrained(path)


def test_nothing_under_that_name():
    with pytest.raises(ValueError, match=r"there is no file 'absent\.pkl'"):
        from_pretrained("absent.pkl")
    with pytest.raises(ValueError, match=r"mask_rcnn_R_50_FPN_2x.*did you mean.*mask_rcnn_R_50_FPN"):
        from_pretrained("detectron2/COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_2x")


def test_a_field_that_is_none(narrow):
    with pytest.raises(ValueError, match=r"there is no config field 'num_clases'; did you mean num_classes"):
        from_pretrained(narrow("d2_fpn"), num_clases=3)


def test_another_number_of_classes_keeps_what_fits_and_says_what_does_not(narrow, capsys):
    model = from_pretrained(narrow("d2_fpn"), num_classes=3)
    tensors = read_checkpoint(narrow("d2_fpn")).tensors
    fresh = model.load_report.fresh
    class_wise = ("box_head/classifier", "box_head/regressor", "mask_head/predictor")
    assert set(fresh) == {f"{layer}/{leaf}" for layer in class_wise for leaf in ("kernel", "bias")}
    assert "box_head/classifier/kernel: (128, 81) in the checkpoint, (128, 4) here" in capsys.readouterr().err
    values = {v.path: v.numpy() for v in model.variables}
    np.testing.assert_array_equal(values["box_head/fc2/kernel"], tensors["roi_heads.box_head.fc2.weight"].T)
    assert model.config.names == ("class 0", "class 1", "class 2")


CITYSCAPES = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")


def test_classes_are_copied_by_name_from_coco_to_cityscapes(narrow, capsys):
    from mrcnn_keras.weights.zoo.class_names import COCO

    model = from_pretrained(narrow("d2_fpn"), class_names=CITYSCAPES, class_map="names")
    tensors = read_checkpoint(narrow("d2_fpn")).tensors
    values = {v.path: v.numpy() for v in model.variables}
    layers = ("box_head/classifier", "box_head/regressor", "mask_head/predictor")
    scores, boxes, masks = (values[f"{layer}/kernel"] for layer in layers)
    for row, name in enumerate(CITYSCAPES):
        if name == "rider":
            continue
        old = COCO.index(name)
        np.testing.assert_array_equal(scores[:, row], tensors["roi_heads.box_predictor.cls_score.weight"][old])
        theirs = tensors["roi_heads.box_predictor.bbox_pred.weight"][4 * old : 4 * old + 4]
        np.testing.assert_array_equal(boxes[:, 4 * row : 4 * row + 4], theirs.T)
        np.testing.assert_array_equal(masks[:, row], tensors["roi_heads.mask_head.predictor.weight"][old, :, 0, 0])
    np.testing.assert_array_equal(scores[:, -1], tensors["roi_heads.box_predictor.cls_score.weight"][-1])
    assert np.abs(scores[:, 1]).max() < 0.1  # fresh: a standard deviation of 0.01, not of 1
    assert len(model.load_report.classes) == 7 and model.load_report.fresh_classes == ("rider",)
    assert "class rider fresh" in capsys.readouterr().err


def test_class_maps_that_cannot_be(narrow):
    path = narrow("d2_fpn")
    with pytest.raises(ValueError, match="the checkpoint has no class 'doog'; it has dog"):
        from_pretrained(path, class_names=["pet"], class_map={"pet": "doog"})
    with pytest.raises(ValueError, match="the model has no class 'cat'"):
        from_pretrained(path, class_names=["pet"], class_map={"cat": "cat"})
    with pytest.raises(ValueError, match="3 source_class_names for a checkpoint of 80 classes"):
        from_pretrained(path, source_class_names=["a", "b", "c"])
    with pytest.raises(ValueError, match="class_map='all': expected 'names'"):
        from_pretrained(path, class_names=["dog"], class_map="all")


def test_a_model_of_this_package_can_be_fine_tuned_the_same_way(narrow, tmp_path):
    names = ("person", "dog")
    small = from_pretrained(narrow("d2_fpn"), class_names=names, class_map="names")
    small.save(tmp_path / "small.keras")
    same = from_pretrained(tmp_path / "small.keras")
    turned = from_pretrained(tmp_path / "small.keras", class_names=("dog", "cat"), class_map="names")
    values, old = ({v.path: v.numpy() for v in m.variables} for m in (turned, same))
    kernel = "box_head/classifier/kernel"
    np.testing.assert_array_equal(values[kernel][:, [0, 2]], old[kernel][:, [1, 2]])
    assert turned.load_report.fresh_classes == ("cat",)


def test_convert_there_and_back(narrow, tmp_path, capsys):
    from mrcnn_keras import cli

    keras_file, back = tmp_path / "model.keras", tmp_path / "back.pkl"
    assert cli.main(["convert", str(narrow("d2_c4")), str(keras_file)]) == 0
    assert cli.main(["convert", str(keras_file), str(back)]) == 0
    first, second = (read_checkpoint(path).tensors for path in (narrow("d2_c4"), back))
    assert set(first) == set(second)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    assert cli.main(["convert", str(keras_file), str(tmp_path / "c4.pth")]) == 1
    assert "torchvision has Mask R-CNN with an FPN" in capsys.readouterr().err
    assert cli.main(["convert", str(keras_file), str(tmp_path / "model.onnx")]) == 2
    assert cli.main(["convert", str(tmp_path / "absent.pkl"), str(back)]) == 2
    assert not (tmp_path / "c4.pth").exists()


def test_in_staged_training_the_rpn_starts_from_the_same_features(tmp_path):
    from mrcnn_keras.weights.writing import save_checkpoint

    def boxes_of(model):
        photo = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
        inputs = {"images": photo, "image_sizes": np.array([[64, 60]], np.float32)}
        return model(inputs, training=False)["boxes"].numpy()

    path = write(tmp_path / "gentle.pkl", random_tensors(SHALLOW_LAYOUTS["d2_fpn"], 8, 0.02))
    small = {"score_threshold": 0.0, "max_detections": 3}
    whole = from_pretrained(path, **small)
    model = from_pretrained(path, **small, training_stages="stage_wise")
    assert not model.load_report.fresh and not model.load_report.unused
    ours = boxes_of(model)
    assert ours.any()
    np.testing.assert_array_equal(ours, boxes_of(whole))
    changed = next(v for v in model.variables if v.path == "rpn_backbone/stem/kernel")
    changed.assign(changed + 1)
    model.save(tmp_path / "model.keras")
    again = from_pretrained(tmp_path / "model.keras", training_stages="alternating")
    np.testing.assert_array_equal(next(v for v in again.variables if v.path == changed.path).numpy(), changed.numpy())
    with pytest.raises(ValueError, match="stage-wise training gives the RPN a backbone of its own"):
        save_checkpoint(model, tmp_path / "model.pkl")
    save_checkpoint(again, tmp_path / "alternating.pkl")
    np.testing.assert_array_equal(boxes_of(from_pretrained(tmp_path / "alternating.pkl", **small)), ours)


def resnet_only(tmp_path, blocks=SHALLOW):
    shapes = {}
    layouts.torchvision_body(shapes, "", blocks)
    shapes |= {"fc.weight": (1000, 2048), "fc.bias": (1000,)}
    return write(tmp_path / "resnet.pth", random_tensors(shapes, 8))


def test_a_bare_resnet_becomes_the_backbone_of_a_mask_rcnn(tmp_path, capsys):
    path = resnet_only(tmp_path)
    model = from_pretrained(path, num_classes=2, fpn_channels=16, box_head_dim=16, mask_head_dim=8)
    assert model.config.features == "fpn" and not model.load_report.unused
    assert all(p.startswith("backbone/") for p in model.load_report.copied)
    assert not any(p.startswith("backbone/") for p in model.load_report.fresh)
    assert "fresh: fpn: 16 weights not in the checkpoint" in capsys.readouterr().err


def test_presets_take_their_backbone_from_a_checkpoint(tmp_path):
    from mrcnn_keras import MaskRCNN

    small = {"stem_channels": 8, "res2_channels": 32, "width_per_group": 8, "fpn_channels": 16, "box_head_dim": 16,
             "mask_head_dim": 8, "num_classes": 2}  # fmt: skip
    path = resnet_only(tmp_path, (3, 4, 6, 3))
    model = MaskRCNN.from_preset("mask_rcnn_resnet50_fpn", weights=str(path), **small)
    stem = next(v for v in model.variables if v.path == "backbone/stem/kernel")
    theirs = read_checkpoint(path).tensors["conv1.weight"]
    np.testing.assert_array_equal(stem.numpy(), theirs.transpose(2, 3, 1, 0))
    with pytest.raises(ValueError, match="there is no public model of 'mask_rcnn_narrow_fpn'"):
        MaskRCNN.from_preset("mask_rcnn_narrow_fpn", weights="coco")


def test_another_backbone_than_the_presets_is_an_error(tmp_path):
    from mrcnn_keras import MaskRCNN

    with pytest.raises(CheckpointError, match=r"not the backbone of 'mask_rcnn_narrow_fpn' .*backbone/"):
        MaskRCNN.from_preset("mask_rcnn_narrow_fpn", weights=str(resnet_only(tmp_path)))


def test_res5_of_a_bare_resnet_becomes_the_head_of_a_c4_model(tmp_path):
    small = {"stem_channels": 8, "res2_channels": 32, "width_per_group": 8, "mask_head_dim": 8, "num_classes": 2}
    c4 = {"features": "c4", "box_head": "res5", "box_pool_size": 14, "mask_head_convs": 0, "size_divisor": 1}
    report = from_pretrained(resnet_only(tmp_path, (1, 1, 1, 3)), **c4, **small).load_report
    assert not report.unused and "res5_head/res5_2/conv3/kernel" in report.copied


def test_a_public_file_means_the_same_by_path_as_by_id(tmp_path, narrow):
    from mrcnn_keras.weights.zoo import lookup

    entry = lookup.find("detectron2/Detectron1-Comparisons/mask_rcnn_R_50_FPN_noaug_1x")
    path = tmp_path / entry.file_name
    path.write_bytes(narrow("d2_fpn").read_bytes())
    config = from_pretrained(path).config
    assert config.roi_aligned is False and config.roi_sampling_ratio == 2
    assert from_pretrained(narrow("d2_fpn")).config.roi_aligned is True


def test_an_rpn_of_two_convolutions_keeps_detectron2s_names(narrow, tmp_path):
    def double(tensors):
        for leaf in ("weight", "bias"):
            value = tensors.pop(f"proposal_generator.rpn_head.conv.{leaf}")
            tensors[f"proposal_generator.rpn_head.conv.conv0.{leaf}"] = value
            tensors[f"proposal_generator.rpn_head.conv.conv1.{leaf}"] = value * 2

    path = changed(narrow, tmp_path, double)
    model = from_pretrained(path)
    assert model.config.rpn_convs == 2 and model.config.stride_in_1x1
    assert_comes_back(model, path, tmp_path)


def test_sides_given_by_the_user_are_those_of_training_too(narrow):
    model = from_pretrained(narrow("d2_fpn"), image_min_side=320)
    assert model.config.train_min_sides == () and not model.load_report.fresh


def test_an_override_of_shape_is_partial_whatever_its_name(narrow):
    fresh = from_pretrained(narrow("d2_fpn"), anchor_ratios=(0.5, 1.0), num_keypoints=3).load_report.fresh
    assert {path.split("/")[0] for path in fresh} == {"rpn_head", "keypoint_head"}


def test_files_written_here_open_with_older_numpy(narrow, tmp_path):
    from mrcnn_keras.weights.writing import save_checkpoint

    data = save_checkpoint(from_pretrained(narrow("d2_fpn")), tmp_path / "out.pkl").read_bytes()
    assert b"numpy._core" not in data and b"numpy.core.multiarray" in data
    loaded = pickle.loads(data)["model"]
    tensors = read_checkpoint(narrow("d2_fpn")).tensors
    assert all(np.array_equal(loaded[name], tensors[name]) for name in tensors)


def test_imagenet_files_with_whole_batch_norms_under_caffe2_names(tmp_path):
    """The names of Detectron2's ImageNetPretrained/MSRA files; the bias of the first convolution means nothing."""
    shapes = {}
    for (stage, _, _), count in zip(layouts.STAGES, (3, 4, 6, 3)):
        layouts.detectron2_stage(shapes, "backbone.bottom_up.", stage, count)
    layouts.conv(shapes, "backbone.bottom_up.stem.conv1", 64, 3, 7, "backbone.bottom_up.stem.conv1.norm")
    tensors = random_tensors(shapes, 8)
    leaves = {"weight": "gamma", "bias": "beta", "running_mean": "running_mean", "running_var": "running_var"}
    blobs = {"conv1_b": np.ones(8, np.float32), "fc1000_w": np.ones((10, 256), np.float32)}
    for name, value in tensors.items():
        module, leaf = name.rsplit(".", 1)
        norm = module.endswith(".norm")
        like = caffe2_name(f"{module}.{'weight' if norm else leaf}")
        blobs[like.replace("_bn_s", f"_bn_{leaves[leaf]}") if norm else like] = value
    path = tmp_path / "R-50.pkl"
    path.write_bytes(pickle.dumps({"model": blobs}, protocol=4))
    small = {"num_classes": 2, "fpn_channels": 16, "box_head_dim": 16, "mask_head_dim": 8}
    model = from_pretrained(path, **small)
    assert not model.load_report.unused and not model.config.norm_bias and model.config.stride_in_1x1
    mean = next(v for v in model.variables if v.path == "backbone/res3_1/conv2/norm/moving_mean")
    theirs = tensors["backbone.bottom_up.res3.1.conv2.norm.running_mean"]
    np.testing.assert_array_equal(mean.numpy(), theirs)


def test_classifiers_of_imagenet_files_are_no_weights(tmp_path):
    shapes = {"stem.fc.weight": (1000, 2048), "stem.fc.bias": (1000,)}
    for (stage, _, _), count in zip(layouts.STAGES, (3, 4, 6, 3)):
        layouts.detectron2_stage(shapes, "", stage, count)
    layouts.conv(shapes, "stem.conv1", 64, 3, 7, "stem.conv1.norm")
    tensors = random_tensors(shapes, 8)
    path = tmp_path / "R-50.pkl"
    path.write_bytes(pickle.dumps({"model": tensors, "__author__": "torchvision"}, protocol=4))
    model = from_pretrained(path, num_classes=2, fpn_channels=16, box_head_dim=16, mask_head_dim=8)
    stem = next(v for v in model.variables if v.path == "backbone/stem/kernel")
    np.testing.assert_array_equal(stem.numpy(), tensors["stem.conv1.weight"].transpose(2, 3, 1, 0))  # not turned round
    assert model.config.pixel_std == (58.395, 57.12, 57.375) and not model.config.stride_in_1x1


def caffe2_name(name):
    """Detectron1's name for one of Detectron2's, R-50-FPN."""
    module, leaf = name.rsplit(".", 1)
    if module.endswith(".norm"):
        if leaf.startswith("running"):
            return None
        module, leaf = module.removesuffix(".norm"), "bn_s" if leaf == "weight" else "bn_b"
    else:
        leaf = leaf[0]
    parts = module.split(".")
    if parts[-1] == "conv1" and "stem" in parts:
        return f"res_conv1_{leaf}" if leaf.startswith("bn") else f"conv1_{leaf}"
    if len(parts) > 2 and parts[2].startswith("res"):
        branch = {"conv1": "2a", "conv2": "2b", "conv3": "2c", "shortcut": "1"}[parts[-1]]
        return f"{parts[2]}_{parts[3]}_branch{branch}_{leaf}"
    if parts[1].startswith("fpn_lateral"):
        stage = parts[1][-1]
        last = {"2": 2, "3": 3, "4": 5, "5": 2}[stage]
        return f"fpn_inner_res{stage}_{last}_sum{'' if stage == '5' else '_lateral'}_{leaf}"
    if parts[1].startswith("fpn_output"):
        return f"fpn_res{parts[1][-1]}_{ {'2': 2, '3': 3, '4': 5, '5': 2}[parts[1][-1]] }_sum_{leaf}"
    last = {
        "rpn_head.conv": "conv_rpn_fpn2", "objectness_logits": "rpn_cls_logits_fpn2",
        "anchor_deltas": "rpn_bbox_pred_fpn2", "fc1": "fc6", "fc2": "fc7", "cls_score": "cls_score",
        "bbox_pred": "bbox_pred", "mask_fcn1": "_[mask]_fcn1", "mask_fcn2": "_[mask]_fcn2",
        "mask_fcn3": "_[mask]_fcn3", "mask_fcn4": "_[mask]_fcn4", "deconv": "conv5_mask",
        "predictor": "mask_fcn_logits",
    }  # fmt: skip
    return f"{last['rpn_head.conv' if module.endswith('rpn_head.conv') else parts[-1]]}_{leaf}"


def test_detectron1_names(tmp_path):
    tensors = random_tensors(LAYOUTS["d2_r50_fpn"], 8)
    blobs = {}
    for name, value in tensors.items():
        if name.endswith("running_mean"):
            tensors[name] = np.zeros_like(value)
        elif name.endswith("running_var"):
            tensors[name] = np.full_like(value, 1 - 1e-5)
        elif (old := caffe2_name(name)) is not None:
            if "cls_score" in name:
                value = np.concatenate([value[-1:], value[:-1]])
            elif "bbox_pred" in name or "mask_head.predictor" in name:
                rows = 4 if "bbox_pred" in name else 1
                value = np.concatenate([np.full((rows, *value.shape[1:]), 9, np.float32), value])
            blobs[old] = value
            blobs[f"{old}_momentum"] = value
    path = tmp_path / "detectron1.pkl"
    path.write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
    one, two = from_pretrained(path), from_pretrained(write(tmp_path / "two.pkl", tensors))
    assert one.config == two.config
    for a, b in zip(one.variables, two.variables):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


@pytest.mark.slow
def test_keras_imagenet_resnet_gives_keras_features(tmp_path):
    import h5py
    import keras

    keras.utils.set_random_seed(0)
    theirs = keras.applications.ResNet50(weights=None, include_top=False)
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([np.random.default_rng(i).uniform(0.5, 1.5, w.shape) for i, w in
                               enumerate(layer.get_weights())])  # fmt: skip
    path = tmp_path / "resnet50_notop.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in theirs.layers]
        for layer in theirs.layers:
            for weight in layer.weights:
                file[f"{layer.name}/{layer.name}/{weight.name}:0"] = weight.numpy()
    model = from_pretrained(path, num_classes=2, fpn_channels=16, box_head_dim=16, mask_head_dim=8)
    assert not model.load_report.unused and model.config.norm_bias
    image = np.random.default_rng(1).uniform(0, 255, (1, 64, 96, 3)).astype(np.float32)
    expected = theirs(keras.applications.resnet50.preprocess_input(image.copy())).numpy()
    backbone = keras.Model(model.input, model.get_layer("backbone").output[-1])
    found = backbone({"images": image, "image_sizes": np.array([[64, 96]], np.float32)}).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-4 * expected.std(), rtol=1e-4)


def test_report_can_be_read(narrow):
    report = from_pretrained(narrow("d2_fpn"), num_classes=3).load_report
    lines = str(report).splitlines()
    assert lines[0] == f"d2_fpn.pkl (detectron2): {len(report.copied)} weights copied"
    assert len(lines) == 1 + len(report.fresh)
    json.dumps(dict(report.fresh))
