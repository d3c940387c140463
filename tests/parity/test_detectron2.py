"""The same numbers as Detectron2 from the same weights: features, proposals, detections, masks, losses, gradients."""

import importlib.util
import pathlib

import numpy as np
import pytest

EVERY_ANCHOR = 100_000
pytestmark = pytest.mark.shared

_spec = importlib.util.spec_from_file_location("parity_names", pathlib.Path(__file__).parent / "conftest.py")
names = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(names)


def iou_matrix(a, b):
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(-1)
    areas = [(x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b)]
    return both / (areas[0][:, None] + areas[1][None] - both)


@pytest.fixture(scope="module")
def inference(load_case):
    case = load_case("d2_mask_r50_fpn")
    rpn = case.settings["rpn"]
    topk = {"rpn_pre_nms_topk_test": rpn["pre_nms_topk_test"], "rpn_post_nms_topk_test": rpn["post_nms_topk_test"]}
    return case, case.model(**topk)


def network_outputs(model, layer, image):
    import keras

    from mrcnn_keras.inference.preprocess import prepare_images

    c = model.config
    batch, _ = prepare_images([image], c.image_min_side, c.image_max_side, c.size_divisor)
    return keras.Model(model.input, model.get_layer(layer).output)(batch)


def test_features_equal_the_reference_pyramid(inference):
    case, model = inference
    levels = network_outputs(model, "fpn", case.expected["image_rgb"])
    for level, feature in enumerate(levels, start=2):
        key = next(k for k in case.expected if k.startswith(f"feature_p{level}_stride"))
        step = int(key.rsplit("stride", 1)[1])
        expected = case.expected[key]
        deviation = np.abs(feature[0, ::step, ::step].numpy() - expected).max()
        assert deviation < 1e-3 * expected.std(), f"p{level} deviates by {deviation}"


def test_proposals_equal_the_reference(inference):
    case, model = inference
    boxes, scores = network_outputs(model, "proposals_test", case.expected["image_rgb"])
    expected = case.expected["proposal_boxes"]
    found = iou_matrix(expected, boxes[0].numpy()).max(axis=1) >= 0.99
    assert found.mean() >= 0.98
    assert np.count_nonzero((boxes[0, :, 2] > boxes[0, :, 0]).numpy()) == len(expected)
    assert np.abs(np.sort(scores[0].numpy()[: len(expected)]) - np.sort(case.expected["proposal_logits"])).max() < 1e-3


def test_detections_and_masks_equal_the_reference(inference):
    case, model = inference
    image = case.expected["image_rgb"]
    (found,) = model.detect(image)
    expected = case.expected["boxes"]
    assert len(found) == len(expected)
    iou = iou_matrix(expected, found.boxes)
    same_class = case.expected["classes"][:, None] == found.class_ids[None]
    close = np.abs(case.expected["scores"][:, None] - found.scores[None]) < 1e-3
    matches = (iou >= 0.99) & same_class & close
    assert matches.any(axis=1).mean() >= 0.98
    masks = np.unpackbits(case.expected["masks_packed"], axis=-1, count=image.shape[1]).astype(bool)
    rows = np.flatnonzero(matches.any(axis=1))
    ours = found.masks[np.where(matches, iou, -1).argmax(axis=1)[rows]]
    both = (masks[rows] & ours).sum((1, 2))
    either = (masks[rows] | ours).sum((1, 2))
    iou = np.where(either > 0, both / np.maximum(either, 1), 1.0)
    assert iou.mean() >= 0.99


@pytest.fixture(scope="module")
def training(load_case):
    case = load_case("d2_loss_mask_r50_fpn")
    s = case.settings
    model = case.model(
        freeze_at=s["freeze_at"],
        rpn_batch_size=EVERY_ANCHOR,
        rpn_pre_nms_topk_train=s["rpn_pre_nms_topk_train"],
        rpn_post_nms_topk_train=s["rpn_post_nms_topk_train"],
        rpn_smooth_l1_beta=s["smooth_l1_beta_rpn"],
        box_smooth_l1_beta=s["smooth_l1_beta_box"],
        roi_batch_size=100_000,
        roi_positive_fraction=1.0,
    )
    return case, model, loss_batch(case.expected, model.config.gt_mask_size)


def loss_batch(expected, mask_size):
    from mrcnn_keras.data import make_annotations
    from mrcnn_keras.data.rle import coverage

    images = [expected[f"image{i}_resized_bgr"][..., ::-1] for i in (0, 1)]
    height, width = (-(-max(side) // 32) * 32 for side in zip(*(image.shape[:2] for image in images)))
    most = max(len(expected[f"image{i}_gt_boxes"]) for i in (0, 1))
    batch = {
        "images": np.zeros((2, height, width, 3), np.float32),
        "image_sizes": np.array([image.shape[:2] for image in images], np.float32),
        "gt_boxes": np.zeros((2, most, 4), np.float32),
        "gt_class_ids": np.full((2, most), -1, np.int32),
        "gt_masks": np.zeros((2, most, mask_size, mask_size), np.uint8),
    }
    for i, image in enumerate(images):
        h, w = image.shape[:2]
        batch["images"][i, :h, :w] = image
        boxes = expected[f"image{i}_gt_boxes"]
        count = len(boxes)
        batch["gt_boxes"][i, :count] = boxes
        batch["gt_class_ids"][i, :count] = expected[f"image{i}_gt_classes"]
        masks = np.unpackbits(expected[f"image{i}_gt_masks_packed"], axis=-1, count=w).astype(bool)
        rles = make_annotations((h, w), batch["gt_class_ids"][i, :count], masks=masks).masks
        for j in range(count):
            batch["gt_masks"][i, j] = coverage(rles[j], boxes[j], mask_size)
    return batch


def count_labelled(model, batch):
    """Anchors of the batch that are objects or background."""
    import keras
    import tensorflow as tf

    from mrcnn_keras.layers import matching

    probe = keras.Model(model.input, model.get_layer("anchors").output)
    anchors = tf.concat(probe({name: batch[name] for name in ("images", "image_sizes")}), axis=0)
    _, label = matching.match(anchors, batch["gt_boxes"], batch["gt_class_ids"] >= 0, (0.3, 0.7), True)
    return np.count_nonzero(label.numpy() != matching.IGNORED)


def test_losses_and_gradients_equal_the_reference(training):
    import tensorflow as tf

    case, model, batch = training
    with tf.GradientTape() as tape:
        losses = model.training_graph(batch, training=True)
        # The reference drew rpn_batch_size anchors from a few more; on average that is every anchor, scaled.
        drawn = case.settings["rpn_batch_size"]
        losses["rpn_class_loss"] *= 2 * EVERY_ANCHOR / count_labelled(model, batch)
        losses["rpn_box_loss"] *= EVERY_ANCHOR / drawn
        total = tf.add_n(list(losses.values()))
    theirs = {
        "rpn_class_loss": "loss_rpn_cls",
        "rpn_box_loss": "loss_rpn_loc",
        "class_loss": "loss_cls",
        "box_loss": "loss_box_reg",
        "mask_loss": "loss_mask",
    }
    for ours, key in theirs.items():
        tolerance = 0.02 if ours == "mask_loss" else 0.001
        assert float(losses[ours]) == pytest.approx(float(case.expected[key]), rel=tolerance), ours
    keys = [key for key in case.expected if key.startswith("grad_")]
    variables = {v.path: v for v in model.trainable_variables}
    watched = [variables[names.keras_path(key[5:])] for key in keys]
    gradients = tape.gradient(total, [v.value for v in watched])
    for key, gradient in zip(keys, gradients, strict=True):
        expected = names.keras_value(key[5:], case.expected[key])
        error = np.linalg.norm(gradient.numpy() - expected) / np.linalg.norm(expected)
        limit = 0.02 if "mask_head" in key else 0.005
        assert error < limit, f"{key} deviates by {error:.2%}"
