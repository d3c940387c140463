"""Detection in several passes: test-time augmentation, given proposals, thresholds by class."""

import numpy as np
import pytest

from mrcnn_keras import MaskRCNN, MaskRCNNConfig
from mrcnn_keras.inference import TestTimeAugmentation
from mrcnn_keras.inference.augmentation import as_augmentation

from ..tiny import tiny_model

COMMON = {"image_max_side": 96, "backbone_norm": "none", "rpn_pre_nms_topk_test": 40, "max_detections": 12}
NAMES = {"num_keypoints": 3, "keypoint_names": ("nose", "left_ear", "right_ear")}
MODELS = {
    "fpn": {"anchor_sizes": (24, 32, 48, 64, 96), **NAMES},
    "c4": {"features": "c4", "box_head": "res5", "mask_head_convs": 0, "anchor_sizes": (16, 48), "size_divisor": 1},
    "agnostic, padded": {
        "anchor_sizes": (24, 32, 48, 64, 96),
        "box_class_agnostic": True,
        "mask_loss": "softmax",
        "resize": "torchvision",
        "mask_paste": "padded",
    },
}
IDENTITY = TestTimeAugmentation((1.0,), (False,))


def with_clear_scores(**fields) -> MaskRCNN:
    """A tiny model whose random weights give scores far enough apart to have one order."""
    model = tiny_model(**COMMON, **fields)
    head = model.get_layer("box_head")
    head.classifier.kernel.assign(head.classifier.kernel * 60.0)
    head.classifier.bias.assign([0.0, 0.0, 0.0, -3.0])  # the last is the background's
    head.regressor.kernel.assign(head.regressor.kernel * 60.0)
    return model


SLOW_MODELS = [pytest.param(name, marks=pytest.mark.slow) for name in MODELS if name != "fpn"]


@pytest.fixture(scope="module", params=["fpn", *SLOW_MODELS])
def model(request):
    return with_clear_scores(**MODELS[request.param])


@pytest.fixture(scope="module")
def keypoint_model():
    return with_clear_scores(**MODELS["fpn"])


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(3)
    sizes = (70, 93), (121, 64), (50, 50)
    blocks = [rng.integers(0, 255, (h // 8 + 1, w // 8 + 1, 3), np.uint8) for h, w in sizes]
    return [np.kron(b, np.ones((8, 8, 1), np.uint8))[:h, :w] for b, (h, w) in zip(blocks, sizes)]


def assert_same(found, expected, masks=0.98, pixels=0.02):
    """The same detections in the same order, but for rounding."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert len(one) == len(other) > 3
        np.testing.assert_array_equal(one.class_ids, other.class_ids)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=pixels)
        agreeing = (one.masks == other.masks).mean(axis=(1, 2))
        assert (agreeing > masks).all()
        if one.keypoints is not None:
            distance = np.abs(one.keypoints[..., :2] - other.keypoints[..., :2]).max(axis=-1)
            assert np.median(distance) < 0.05 and (distance < 0.1).mean() > 0.95
            np.testing.assert_allclose(one.keypoints[..., 2], other.keypoints[..., 2], atol=1e-3)


def mirrored(found, width):
    """Detections of a mirrored image in the frame of the image."""
    import dataclasses

    boxes = found.boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + np.array([width, 0, width, 0])
    keypoints = found.keypoints
    if keypoints is not None:
        keypoints = keypoints[:, [0, 2, 1]] * [-1, 1, 1] + np.array([width, 0, 0])
    return dataclasses.replace(found, boxes=boxes, masks=found.masks[:, :, ::-1], keypoints=keypoints)


def test_the_plain_view_alone_is_detect(model, photos):
    plain = model.detect(photos, batch_size=2)
    assert_same(model.detect(photos, batch_size=2, tta=IDENTITY), plain)
    assert_same(model.detect(photos, batch_size=2, score_threshold={}), plain)  # the same view, by several passes


def test_the_mirrored_view_alone_is_detect_on_the_mirrored_image(model, photos):
    found = model.detect(photos, tta=TestTimeAugmentation((1.0,), (True,)))
    turned = model.detect([photo[:, ::-1] for photo in photos])
    assert_same(found, [mirrored(one, photo.shape[1]) for one, photo in zip(turned, photos)])


@pytest.mark.slow
def test_another_scale_is_detect_of_a_model_with_that_size(keypoint_model, photos):
    larger = MaskRCNN(keypoint_model.config.replace(image_min_side=96, image_max_side=144))
    larger.set_weights(keypoint_model.get_weights())
    found = keypoint_model.detect(photos, tta=TestTimeAugmentation((1.5,), (False,)))
    assert_same(found, larger.detect(photos))


def test_boxes_of_all_views_come_together_before_suppression(keypoint_model, photos):
    views = [TestTimeAugmentation((1.0,), (flip,)) for flip in (False, True)]
    wide = MaskRCNN(keypoint_model.config.replace(max_detections=60))
    wide.set_weights(keypoint_model.get_weights())
    alone = [wide.detect(photos, tta=view, masks=None) for view in views]
    together = wide.detect(photos, tta=TestTimeAugmentation((1.0,)), masks=None)
    for first, second, both in zip(*alone, together):
        assert both.scores[0] == pytest.approx(max(first.scores[0], second.scores[0]), abs=1e-5)
        near = [_has_nearly(one, both) for one in (first, second)]
        # A few more were suppressed in their view by what is suppressed here.
        assert np.logical_or(*near).mean() > 0.9
        assert (near[0] & ~near[1]).any() and (near[1] & ~near[0]).any()


def _has_nearly(found, wanted):
    """For each detection wanted whether it was found."""
    boxes = np.abs(wanted.boxes[:, None] - found.boxes).max(axis=-1)
    return (boxes + np.abs(wanted.scores[:, None] - found.scores)).min(axis=1) < 0.05


def test_masks_are_averaged_over_the_views(keypoint_model, photos):
    twice = keypoint_model.detect(photos[:1], tta=TestTimeAugmentation((1.0, 1.0), (False,)))
    # Each box is there twice, and the copy is suppressed.
    assert_same(twice, keypoint_model.detect(photos[:1]))
    assert twice[0].masks.any(axis=(1, 2)).all()


def test_batches_and_forms_of_masks_make_no_difference(keypoint_model, photos):
    tta, same_size = TestTimeAugmentation((0.75, 1.25)), [photos[0], photos[0][::-1], photos[0][:, ::-1]]
    singly = keypoint_model.detect(same_size, tta=tta)
    together = keypoint_model.detect(same_size, batch_size=2, tta=tta, masks="rle")
    for one, other in zip(singly, together):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.05)
        assert (one.masks == other.to_masks()).mean() > 0.99


def test_the_config_says_what_true_means(keypoint_model):
    config = keypoint_model.config.replace(tta_scales=(0.5, 1), tta_flip=False)
    assert as_augmentation(True, config) == TestTimeAugmentation((0.5, 1.0), (False,))
    paper = as_augmentation(True, MaskRCNNConfig())
    sides = [(round(800 * view.scale), view.mirrored) for view in paper.views]
    assert sides == [(side, mirrored) for side in range(400, 1201, 100) for mirrored in (False, True)]


def test_the_networks_own_proposals_given_are_detect(model, photos):
    inputs, maps = _first_pass(model, photos[0])
    proposals = model._passes.proposals([(*inputs, *maps)])[0]["proposals"].numpy()[0]
    scale = photos[0].shape[0] / inputs[1][0, 0], photos[0].shape[1] / inputs[1][0, 1]
    given = proposals * np.array([scale[1], scale[0]] * 2, np.float32)
    assert_same(model.detect(photos[0], proposals=[given]), model.detect(photos[0]))


def _first_pass(model, photo):
    from mrcnn_keras.inference import prepare_images

    c = model.config
    batch, _ = prepare_images([photo], c.image_min_side, c.image_max_side, c.size_divisor, c.resize)
    inputs = batch["images"], batch["image_sizes"]
    found = model._passes.features([inputs])[0]
    return inputs, [found[str(number)] for number in range(len(found))]


def test_another_models_rpn_gives_the_proposals(keypoint_model, photos):
    rpn = with_clear_scores(**MODELS["fpn"], seed=5)
    own = keypoint_model.detect(photos, masks=None)
    same = keypoint_model.detect(photos, proposals=keypoint_model, masks=None)
    for one, other in zip(own, same):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.02)
    other = keypoint_model.detect(photos, proposals=rpn, masks=None)
    assert any(len(a) != len(b) or not np.allclose(a.boxes, b.boxes, atol=1) for a, b in zip(own, other))


def test_another_models_rpn_must_take_the_same_inputs(photos):
    c4 = tiny_model(**COMMON, **MODELS["c4"])
    fpn = tiny_model(**COMMON, **MODELS["fpn"])
    square = tiny_model(**COMMON, **MODELS["fpn"], square_padding=True)
    for model, rpn, message in ((c4, fpn, "size_divisor=32"), (fpn, square, "square_padding=True")):
        with pytest.raises(ValueError, match=message):
            model.detect(photos[0], proposals=rpn)


@pytest.mark.slow
def test_views_of_models_with_square_inputs(photos):
    model = with_clear_scores(**MODELS["fpn"], square_padding=True)
    for tta in (TestTimeAugmentation((0.625,), (False,)), True):  # 60 pixels would not do for the pyramid
        assert all(len(one) for one in model.detect(photos, tta=tta))
    with pytest.raises(ValueError, match="image_max_side=100"):
        MaskRCNNConfig(square_padding=True, image_min_side=64, image_max_side=100)


@pytest.mark.slow
def test_keypoints_without_sides_in_their_names_swap_as_the_config_says(photos):
    names = {"num_keypoints": 3, "keypoint_names": ("tail", "cornea_1", "cornea_2"), "keypoint_flip": (0, 2, 1)}
    model = with_clear_scores(**{**MODELS["fpn"], **names})
    found = model.detect(photos, tta=TestTimeAugmentation((1.0,), (True,)))
    turned = model.detect([photo[:, ::-1] for photo in photos])
    assert_same(found, [mirrored(one, photo.shape[1]) for one, photo in zip(turned, photos)])
    for flip in ((0, 1), (1, 2, 0), (0, 0, 1), (0, 1, 3)):
        with pytest.raises(ValueError, match="keypoint_flip"):
            MaskRCNNConfig(num_keypoints=3, keypoint_flip=flip)


def test_without_proposals_nothing_is_found(keypoint_model, photos):
    found = keypoint_model.detect(photos[:2], batch_size=2, proposals=[np.zeros((0, 4)), [[10, 10, 40, 40]]])
    assert len(found[0]) == 0 and found[0].masks.shape == (0, *photos[0].shape[:2])
    assert len(found[1]) > 0


def test_thresholds_by_class_may_be_lower_and_higher(keypoint_model, photos):
    config = keypoint_model.config
    strict = MaskRCNN(config.replace(score_threshold=0.5, max_detections=100))
    strict.set_weights(keypoint_model.get_weights())
    usual = strict.detect(photos, masks=None)
    found = strict.detect(photos, score_threshold={"class 0": 0.1, "class 1": 1.0}, masks=None)
    for before, after in zip(usual, found):
        assert not (after.class_ids == 1).any()
        assert (after.scores[after.class_ids == 0] > 0.1).all() and (after.scores[after.class_ids == 2] > 0.5).all()
        np.testing.assert_allclose(before.boxes[before.class_ids == 2], after.boxes[after.class_ids == 2], atol=0.02)
    assert any((one.scores[one.class_ids == 0] <= 0.5).any() for one in found)
    assert any((one.class_ids == 1).any() for one in usual)


def test_soft_nms_keeps_what_overlaps_with_a_lower_score(keypoint_model, photos):
    hard = keypoint_model.detect(photos[0], masks=None)[0]
    soft = keypoint_model.detect(photos[0], masks=None, soft_nms_sigma=0.5)[0]
    assert soft.scores[0] == pytest.approx(hard.scores[0], abs=1e-5)
    assert _largest_overlap(soft) > keypoint_model.config.nms_threshold >= _largest_overlap(hard)


def _largest_overlap(found):
    from pycocotools import mask as coco_mask

    most = 0.0
    for class_id in set(found.class_ids.tolist()):
        boxes = found.boxes[found.class_ids == class_id].astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        overlaps = coco_mask.iou(boxes, boxes, [0] * len(boxes))
        most = max(most, (overlaps - np.eye(len(boxes))).max())
    return most


def test_mistakes_are_named(keypoint_model, photos):
    for options, message in (
        ({"tta": "flip"}, "tta='flip'"),
        ({"soft_nms_sigma": -1.0}, "soft_nms_sigma=-1.0"),
        ({"score_threshold": {"dog": 0.5}}, "'dog'.*class 0"),
        ({"score_threshold": {"class 0": 2}}, r"\[0, 1\]"),
        ({"proposals": []}, "0 images were given for 1.*list of arrays"),
        ({"proposals": "boxes.h5"}, "proposals='boxes.h5'.*evaluate_coco"),
        ({"tiles": 1}, "tiles=1"),
        ({"score_threshold": 50}, r"score_threshold=50.*\[0, 1\]"),
        ({"score_threshold": [0.5, 0.5, 0.9], "tta": True}, r"\[0, 1\]"),
        ({"score_threshold": {"class 0": "high"}}, "'high'"),
        ({"soft_nms_sigma": "0.5"}, "soft_nms_sigma='0.5'"),
        ({"batch_size": 2.0, "tiles": 64}, "batch_size=2.0"),
        ({"tiles": 64, "proposals": [np.zeros((0, 4))]}, "whole images"),
    ):
        with pytest.raises(ValueError, match=message):
            keypoint_model.detect(photos[0], **options)
    nameless = tiny_model(**{**COMMON, **MODELS["fpn"], "keypoint_names": ()})
    with pytest.raises(ValueError, match="keypoint_names"):
        nameless.detect(photos[0], tta=True)
    for arguments, message in (((0.0,),), "scales"), ((1.5,), "scales=1.5"), (((1.0,), True), "flips=True"):
        with pytest.raises(ValueError, match=message):
            TestTimeAugmentation(*arguments)
    with pytest.raises(ValueError, match="tta_scales"):
        MaskRCNNConfig(tta_scales=())
