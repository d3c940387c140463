"""The network's outputs in the words of the TF Object Detection API, in stock TensorFlow operations."""

from typing import Any

import tensorflow as tf

from mrcnn_keras.serving.full_masks import masks_of_image

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
        values[name] = _full_masks(outputs["mask_probs"], boxes, found, originals, config, masks)
    return values


def _padded(value: tf.Tensor, found: tf.Tensor, length: int) -> tf.Tensor:
    """(B, D, ...) -> (B, length, ...) float32, zero where nothing was found."""
    inner = [1] * (value.shape.rank - 2)
    mask = tf.reshape(tf.cast(found, tf.float32), tf.concat([tf.shape(found), inner], 0))
    value = tf.cast(value, tf.float32) * mask
    value = tf.pad(value, [[0, 0], [0, length - tf.shape(value)[1]], *[[0, 0] for _ in inner]])
    return tf.ensure_shape(value, [None, length, *value.shape[2:]])


def _full_masks(probs, boxes, found, originals, config, masks):
    """(B, D, H, W) uint8 of 0 and 1 in the frame of the largest image, or (B, D) string PNG files."""
    canvas = tf.reduce_max(originals, axis=0)
    as_files = masks == "png"

    def of_image(one):
        prob, box, there, size = one
        count = tf.reduce_sum(tf.cast(there, tf.int32))
        rows = tf.cast(tf.tile(size, [2]), tf.float32) * box[:count]
        pasted = masks_of_image(prob[:count], rows, size, _THRESHOLD, config.mask_paste)
        missing = config.max_detections - count
        if as_files:
            return tf.pad(_png_files(pasted), [[0, missing]], constant_values="")
        after = canvas - size
        return tf.pad(pasted, [[0, missing], [0, after[0]], [0, after[1]]])

    shape = [config.max_detections] if as_files else [config.max_detections, None, None]
    spec = tf.TensorSpec(shape, tf.string if as_files else tf.uint8)
    given = (tf.cast(probs, tf.float32), boxes, found, originals)
    return tf.map_fn(of_image, given, fn_output_signature=spec, parallel_iterations=1)


def _png_files(masks):
    def encode(mask):
        return tf.io.encode_png(mask[:, :, None] * tf.constant(255, tf.uint8))

    return tf.map_fn(encode, masks, fn_output_signature=tf.TensorSpec([], tf.string))
