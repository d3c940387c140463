"""The network's outputs in the words of the TF Object Detection API, in stock TensorFlow operations."""

from typing import Any

import tensorflow as tf

from mrcnn_keras.serving import full_masks

_THRESHOLD = 0.5  # of the masks, as in `detect`


def answer(
    outputs: dict[str, tf.Tensor], sizes: tf.Tensor, originals: tf.Tensor, config: Any, masks: str
) -> dict[str, tf.Tensor]:
    """What a signature returns.

    Args:
        outputs: of the network, for B images.
        sizes: (B, 2) float32 [height, width] of the images in the network's input.
        originals: (B, 2) int32, the same of the images as given.
        config: `MaskRCNNConfig`.
        masks: "probabilities", "full" or "png".

    Returns: see `export_saved_model`.
    """
    length = config.max_detections
    found = outputs["class_ids"] >= 0
    # [ymin, xmin, ymax, xmax] over [height, width, height, width].
    boxes = tf.gather(tf.cast(outputs["boxes"], tf.float32), [1, 0, 3, 2], axis=-1) / tf.tile(sizes, [1, 2])[:, None]
    boxes = tf.clip_by_value(boxes, 0.0, 1.0)
    values = {
        "detection_boxes": boxes,
        "detection_classes": outputs["class_ids"] + 1,
        "detection_scores": outputs["scores"],
    }
    if "mask_probs" in outputs and masks == "probabilities":
        values["detection_masks"] = outputs["mask_probs"]
    if "keypoints" in outputs:
        points = outputs["keypoints"]
        values["detection_keypoints"] = tf.reverse(points[..., :2], axis=[-1]) / sizes[:, None, None, :]
        values["detection_keypoint_scores"] = points[..., 2]
    values = {name: _padded(value, found, length) for name, value in values.items()}
    values["num_detections"] = tf.reduce_sum(tf.cast(found, tf.float32), axis=1)
    if "mask_probs" in outputs and masks != "probabilities":
        name = "detection_masks_bytes" if masks == "png" else "detection_masks"
        probs = _padded(outputs["mask_probs"], found, length)
        values[name] = _full_masks(probs, values, originals, config, masks)
    return values


def _padded(value: tf.Tensor, found: tf.Tensor, length: int) -> tf.Tensor:
    """(B, D, ...) -> (B, length, ...) float32, zero where nothing was found."""
    inner = [1] * (value.shape.rank - 2)
    mask = tf.reshape(tf.cast(found, tf.float32), tf.concat([tf.shape(found), inner], 0))
    value = tf.cast(value, tf.float32) * mask
    value = tf.pad(value, [[0, 0], [0, length - tf.shape(value)[1]], *[[0, 0] for _ in inner]])
    return tf.ensure_shape(value, [None, length, *value.shape[2:]])


def _full_masks(probs, values, originals, config, masks):
    """(B, length, H, W) uint8 of 0 and 1 in the frame of the largest image, or (B, length) string PNG files."""
    length = config.max_detections
    boxes = values["detection_boxes"] * tf.cast(tf.tile(originals, [1, 2]), tf.float32)[:, None]
    there = tf.sequence_mask(tf.cast(values["num_detections"], tf.int32), length)
    make = full_masks.files if masks == "png" else full_masks.bitmaps
    made = make(full_masks.Found(probs, boxes, there, originals), _THRESHOLD, config.mask_paste)
    return tf.ensure_shape(made, [None, length, *made.shape[2:]])
