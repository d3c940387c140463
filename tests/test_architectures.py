"""Every kind of network that checkpoints bring trains, detects and comes back from its file."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras import MaskRCNN, MaskRCNNConfig
from mrcnn_keras.data import ShapesDataset
from mrcnn_keras.data.pipeline import training_batches

from .tiny import tiny_model

pytestmark = pytest.mark.usefixtures("eager_training")

SMALL = {"backbone_norm": "batch", "box_head_conv_dim": 8, "keypoint_head_convs": 2}
C4 = {"features": "c4", "box_head": "res5", "box_pool_size": 14, "mask_head_convs": 0, "size_divisor": 1}
MATTERPORT = {
    "resize": "matterport", "square_padding": True, "stem_pool": "same", "norm_bias": True, "head_norm": "batch",
    "fc_norm": "batch", "rpn_delta_weights": (10.0, 10.0, 5.0, 5.0), "rpn_by_level": False, "box_inclusive": True,
    "roi_op": "crop_and_resize", "roi_level_rounding": "nearest", "best_class_only": True, "nms_threshold": 0.3,
}  # fmt: skip
TORCHVISION_2 = {
    "resize": "torchvision", "anchor_rounding": True, "rpn_convs": 2, "rpn_min_size": 1e-3, "fpn_norm": "batch",
    "head_norm": "batch", "box_head": "4conv1fc", "roi_aligned": False, "roi_level_rounding": "down+",
    "detection_min_size": 1e-2, "mask_paste": "padded",
}  # fmt: skip
KINDS = {
    "c4": C4,
    "dc5": {"features": "dc5", "size_divisor": 1},
    "resnext": {"num_groups": 4, "width_per_group": 2},
    "matterport": MATTERPORT,
    "torchvision_2": TORCHVISION_2,
}


def tiny(**fields):
    return tiny_model(**{**SMALL, **fields})


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind != "c4")) for kind in KINDS])
def test_trains_detects_and_comes_back(kind, tmp_path):
    model = tiny(**KINDS[kind])
    kernels = [v for v in model.trainable_variables if v.path.endswith("/kernel")]
    before = [v.numpy() for v in kernels]
    model.compile(keras.optimizers.SGD(0.01, clipnorm=1.0))
    history = model.fit(ShapesDataset(8, seed=0, size=(64, 64)), epochs=1, steps_per_epoch=2, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    assert not [v.path for v, old in zip(kernels, before) if np.array_equal(v.numpy(), old)]
    photo = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    (found,) = model.detect(photo)
    assert found.masks.shape == (len(found), 50, 70)
    assert len(found) or model.config.best_class_only  # untrained, the best class may be the background everywhere
    model.save(tmp_path / "model.keras")
    (again,) = MaskRCNN.load(tmp_path / "model.keras").detect(photo)
    np.testing.assert_array_equal(found.boxes, again.boxes)
    np.testing.assert_array_equal(found.masks, again.masks)


def test_plain_c5_has_stride_32():
    model = tiny(features="c5", size_divisor=1)
    photo = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    assert model.detect(photo)[0].masks.shape[1:] == (50, 70)
    batch = {"images": np.zeros((1, 64, 90, 3), np.float32), "image_sizes": np.array([[64, 90]], np.float32)}
    anchors = keras.Model(model.input, model.get_layer("anchors").output)(batch)
    assert np.shape(anchors) == (2 * 3 * 15, 4)


def test_frozen_c4_has_nothing_to_train_in_its_body():
    paths = [v.path for v in tiny(**C4, backbone_norm="frozen", freeze_at=5).trainable_variables]
    assert paths and not [path for path in paths if path.startswith(("backbone/", "res5_head/"))]
    assert any(v.path.startswith("res5_head/") for v in tiny(**C4).trainable_variables)


def with_corners(batch):
    """Two keypoints an object: its top-left and its bottom-right corner, the second labelled on every other one."""
    boxes = batch["gt_boxes"]
    seen = tf.cast(tf.range(tf.shape(boxes)[1])[None, :] % 2, tf.float32) * tf.ones_like(boxes[..., 0])
    first = tf.concat([boxes[..., :2], tf.ones_like(boxes[..., :1]) * 2], axis=-1)
    second = tf.concat([boxes[..., 2:], seen[..., None] * 2], axis=-1)
    return {**batch, "gt_keypoints": tf.stack([first, second], axis=2)}


@pytest.mark.slow
def test_keypoints_are_learnt_beside_masks():
    model = tiny(num_keypoints=2)
    shapes = ShapesDataset(4, seed=0, size=(64, 64))
    batches = training_batches(shapes, batch_size=2, min_side=64, max_side=64, mask_size=28).map(with_corners)
    model.compile(keras.optimizers.Adam(1e-2))
    losses = model.fit(batches, epochs=3, steps_per_epoch=3, verbose=0).history["keypoint_loss"]
    assert losses[-1] < losses[0] < 2 * np.log(56 * 56)
    (found,) = model.detect(shapes.load_image(0))
    assert found.keypoints.shape == (len(found), 2, 3) and len(found.masks) == len(found)
    inside = (found.keypoints[..., :2] >= found.boxes[:, None, :2] - 1) & (
        found.keypoints[..., :2] <= found.boxes[:, None, 2:] + 1
    )
    assert inside.all() and (found.keypoints[..., 2] > 0).all()
    with pytest.raises(ValueError, match="the model has 2 keypoints and the dataset none"):
        model.fit(shapes, verbose=0)


def test_matterports_models_are_not_exported(tmp_path):
    with pytest.raises(ValueError, match="square_padding cannot be exported"):
        tiny(**MATTERPORT).export(tmp_path / "1")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"box_head": "res5"}, "box_head='res5' needs features='c4'"),
        ({"box_head": "fc"}, "box_head='fc': expected '2fc'"),
        ({"features": "c6"}, "features='c6': expected one of 'fpn', 'c4'"),
        ({"anchor_sizes": ((8, 16), 32, 64, 128, 256)}, "as many sides for every level"),
        ({"num_keypoints": -1}, "num_keypoints=-1: expected a whole number from 0 up"),
        ({"resize": "opencv"}, "resize='opencv': expected one of 'detectron2'"),
    ],
)
def test_impossible_settings(fields, message):
    with pytest.raises(ValueError, match=message):
        MaskRCNNConfig(**fields)
