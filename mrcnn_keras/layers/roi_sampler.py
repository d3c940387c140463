"""The RoIs of a training step and what each should predict."""

import keras
import tensorflow as tf

from .. import boxes as box_ops
from . import matching
from .float32 import Float32Layer


@keras.saving.register_keras_serializable("mrcnn_keras")
class RoISampler(Float32Layer):
    """Labels the proposals and ground-truth boxes of each image and samples RoIs from them (section 3.1).

    Args:
        batch_size: RoIs an image.
        positive_fraction: the most of them that are objects (0.25: the paper's 1:3).
        iou_threshold: from this IoU on a RoI is an object.
        num_classes: the background's class id in the result.
        seed: of the random choice.

    Inputs:
        proposals: (B, P, 4) float32 xyxy, zero rows are padding.
        gt_boxes: (B, G, 4) float32 xyxy; gt_class_ids: (B, G) int32, -1 padding.

    Returns: rois (B * S, 4) float32; image_index (B * S,) int32; class_targets (B * S,) int32 in 0..num_classes,
    -1 for rows that count for nothing; gt_index (B * S,) int32 into the image's ground truth. Objects come first in
    each image. S is `batch_size`.
    """

    def __init__(self, batch_size=512, positive_fraction=0.25, iou_threshold=0.5, num_classes=80, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.batch_size = batch_size
        self.positive_fraction = positive_fraction
        self.iou_threshold = iou_threshold
        self.num_classes = num_classes
        self.seed = seed
        self.draws = matching.draw_counter(self)
        self.built = True

    def call(self, proposals, gt_boxes, gt_class_ids, training=None):
        candidates = tf.concat([proposals, gt_boxes], axis=1)
        threshold = (self.iou_threshold, self.iou_threshold)
        gt_index, label = matching.match(candidates, gt_boxes, gt_class_ids >= 0, threshold)
        label = tf.where(box_ops.area(candidates) > 0, label, matching.IGNORED)
        seed = matching.next_seed(self.seed, self.draws, training)
        chosen = matching.sample(label, self.batch_size, self.positive_fraction, seed)
        index, valid = self._merge(*chosen)
        classes = tf.gather(gt_class_ids, tf.gather(gt_index, index, batch_dims=1), batch_dims=1)
        is_object = tf.gather(label, index, batch_dims=1) == matching.OBJECT
        classes = tf.where(valid, tf.where(is_object, classes, self.num_classes), -1)
        rois = tf.where(valid[..., None], tf.gather(candidates, index, batch_dims=1), 0.0)
        rows = tf.shape(index)
        image_index = tf.repeat(tf.range(rows[0]), rows[1])
        gt_index = tf.reshape(tf.gather(gt_index, index, batch_dims=1), [-1])
        return tf.stop_gradient(tf.reshape(rois, [-1, 4])), image_index, tf.reshape(classes, [-1]), gt_index

    def _merge(self, positive, positive_valid, negative, negative_valid):
        """Positives, then negatives, with the rows that count moved to the front: `batch_size` of them."""
        index = tf.concat([positive, negative], axis=1)
        valid = tf.concat([positive_valid, negative_valid], axis=1)
        missing = [[0, 0], [0, tf.maximum(self.batch_size - tf.shape(index)[1], 0)]]  # where there are few candidates
        index, valid = tf.pad(index, missing), tf.pad(valid, missing)
        order = tf.argsort(tf.cast(~valid, tf.int32), axis=1, stable=True)[:, : self.batch_size]
        return tf.gather(index, order, batch_dims=1), tf.gather(valid, order, batch_dims=1)

    def compute_output_spec(self, proposals, gt_boxes, gt_class_ids):
        ints = [keras.KerasTensor((None,), dtype="int32") for _ in range(3)]
        return keras.KerasTensor((None, 4), dtype="float32"), *ints

    def get_config(self):
        names = ("batch_size", "positive_fraction", "iou_threshold", "num_classes", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("mrcnn_keras")
class PositiveRois(Float32Layer):
    """The RoIs that are objects: the mask branch is trained on these only (section 3).

    Args:
        num_classes: class ids from 0 to this, exclusive, are objects.
        rois_per_image, objects_per_image: the RoIs of each image, and the most of them that are objects.
        multiple: rows are filled up to a multiple of this; XLA takes as many as there can be.

    Inputs: the four results of `RoISampler`. Returns: the same four with the objects' rows only, and row (K,) int32,
    the place of each among all; filling rows are other RoIs, with class -1.
    """

    def __init__(self, num_classes=80, rois_per_image=512, objects_per_image=128, multiple=16, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.rois_per_image = rois_per_image
        self.objects_per_image = objects_per_image
        self.multiple = multiple
        self.built = True

    def call(self, rois, image_index, class_targets, gt_index):
        is_object = (class_targets >= 0) & (class_targets < self.num_classes)
        most = tf.shape(is_object)[0] // self.rois_per_image * self.objects_per_image
        index, valid = matching.compact_rows(is_object, self.multiple, most)
        classes = tf.where(valid, tf.gather(class_targets, index), -1)
        return tf.gather(rois, index), tf.gather(image_index, index), classes, tf.gather(gt_index, index), index

    def compute_output_spec(self, rois, image_index, class_targets, gt_index):
        ints = [keras.KerasTensor((None,), dtype="int32") for _ in range(4)]
        return keras.KerasTensor((None, 4), dtype="float32"), *ints

    def get_config(self):
        names = ("num_classes", "rois_per_image", "objects_per_image", "multiple")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("mrcnn_keras")
class TakeRows(keras.layers.Layer):
    """Some rows of what was computed for all RoIs.

    Inputs: values (R, ...) and row (K,) int32. Returns: (K, ...).
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def call(self, values, row):
        return tf.gather(values, row)

    def compute_output_spec(self, values, row):
        return keras.KerasTensor((None, *values.shape[1:]), dtype=values.dtype)
