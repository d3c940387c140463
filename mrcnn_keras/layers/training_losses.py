"""Layers that end the training graph: targets and losses of each branch."""

import keras
import tensorflow as tf

from .. import boxes as box_ops
from .. import losses
from . import matching, replicas
from .float32 import Float32Layer


def _divide(training: bool | None) -> losses.Divide:
    # In validation a replica may have no image to evaluate, and each counts by its images.
    return replicas.divide if training else tf.math.divide_no_nan


def _scalars(count: int) -> tuple[keras.KerasTensor, ...]:
    return tuple(keras.KerasTensor((), dtype="float32") for _ in range(count))


@keras.saving.register_keras_serializable("mrcnn_keras")
class RPNLoss(Float32Layer):
    """Objectness and box losses of the RPN over a random sample of anchors (Faster R-CNN, section 3.1.2).

    Args:
        batch_size: anchors an image; both losses are sums over this many.
        positive_fraction: the most of them that are objects.
        iou_thresholds: background below the first, object from the second on.
        smooth_l1_beta: of the box loss.
        delta_weights: the box coder's weights.
        seed: of the sample.

    Inputs: logits, list of (B, A_l); deltas, list of (B, A_l, 4); anchors, list of (A_l, 4); gt_boxes (B, G, 4);
    gt_class_ids (B, G), -1 padding. Returns: class and box loss, () float32 each.
    """

    def __init__(self, batch_size=256, positive_fraction=0.5, iou_thresholds=(0.3, 0.7), smooth_l1_beta=1 / 9,
                 delta_weights=(1.0, 1.0, 1.0, 1.0), seed=0, **kwargs):  # fmt: skip
        super().__init__(**kwargs)
        self.batch_size = batch_size
        self.positive_fraction = positive_fraction
        self.iou_thresholds = tuple(iou_thresholds)
        self.smooth_l1_beta = smooth_l1_beta
        self.delta_weights = tuple(delta_weights)
        self.seed = seed
        self.draws = matching.draw_counter(self)
        self.built = True

    def call(self, logits, deltas, anchors, gt_boxes, gt_class_ids, training=None):
        logits, deltas, anchors = tf.concat(logits, 1), tf.concat(deltas, 1), tf.concat(anchors, 0)
        gt_index, label = matching.match(anchors, gt_boxes, gt_class_ids >= 0, self.iou_thresholds, True)
        seed = matching.next_seed(self.seed, self.draws, training)
        positive, valid_p, negative, valid_n = matching.sample(label, self.batch_size, self.positive_fraction, seed)
        count = tf.cast(tf.shape(logits)[0] * self.batch_size, tf.float32)
        logits_p, logits_n = (tf.gather(logits, index, batch_dims=1) for index in (positive, negative))
        class_loss = losses.masked_sum(tf.nn.softplus(-logits_p), valid_p)
        class_loss += losses.masked_sum(tf.nn.softplus(logits_n), valid_n)
        matched = tf.gather(gt_boxes, tf.gather(gt_index, positive, batch_dims=1), batch_dims=1)
        targets = box_ops.encode(matched, tf.gather(anchors, positive), self.delta_weights)
        errors = losses.smooth_l1(tf.gather(deltas, positive, batch_dims=1) - targets, self.smooth_l1_beta)
        return class_loss / count, losses.masked_sum(errors, valid_p) / count

    def compute_output_spec(self, *args, **kwargs):
        return _scalars(2)

    def get_config(self):
        names = "batch_size positive_fraction iou_thresholds smooth_l1_beta delta_weights seed".split()
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("mrcnn_keras")
class BoxLoss(Float32Layer):
    """L_cls and L_box of the sampled RoIs (section 3).

    Args:
        num_classes: object classes.
        delta_weights: the box coder's weights.
        smooth_l1_beta: of the box loss.

    Inputs: class_logits (R, K + 1), box_deltas (R, 4 * K) or (R, 4), the four results of `RoISampler`, and gt_boxes
    (B, G, 4). Returns: class and box loss, () float32 each.
    """

    def __init__(self, num_classes=80, delta_weights=(10.0, 10.0, 5.0, 5.0), smooth_l1_beta=1.0, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.delta_weights = tuple(delta_weights)
        self.smooth_l1_beta = smooth_l1_beta
        self.built = True

    def call(self, class_logits, box_deltas, rois, image_index, class_targets, gt_index, gt_boxes, training=None):
        matched = tf.gather_nd(gt_boxes, tf.stack([image_index, gt_index], axis=1))
        targets = box_ops.encode(matched, rois, self.delta_weights)
        divide = _divide(training)
        class_loss = losses.classification_loss(class_logits, class_targets, divide)
        box_loss = losses.box_loss(box_deltas, targets, class_targets, self.num_classes, self.smooth_l1_beta, divide)
        return class_loss, box_loss

    def compute_output_spec(self, *args, **kwargs):
        return _scalars(2)

    def get_config(self):
        names = ("num_classes", "delta_weights", "smooth_l1_beta")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("mrcnn_keras")
class MaskLoss(Float32Layer):
    """L_mask of the RoIs that are objects (section 3).

    Args:
        kind: "sigmoid" or "softmax" masks.

    Inputs: what the mask head returns for the RoIs' own classes, (R, M, M) or (R, M, M, 2), the first four results of
    `PositiveRois`, gt_boxes (B, G, 4) and gt_masks (B, G, S, S) uint8 coverage over each box. Returns: () float32.
    """

    def __init__(self, kind="sigmoid", **kwargs):
        super().__init__(**kwargs)
        self.kind = kind
        self.built = True

    def call(self, logits, rois, image_index, class_targets, gt_index, gt_boxes, gt_masks, training=None):
        place = tf.stack([image_index, gt_index], axis=1)
        masks, boxes = tf.gather_nd(gt_masks, place), tf.gather_nd(gt_boxes, place)
        targets = losses.mask_targets(masks, boxes, rois, size=logits.shape[1])
        loss = losses.mask_loss if self.kind == "sigmoid" else losses.competing_mask_loss
        return loss(logits, targets, class_targets >= 0, _divide(training))

    def compute_output_spec(self, *args, **kwargs):
        return _scalars(1)[0]

    def get_config(self):
        return {**super().get_config(), "kind": self.kind}


@keras.saving.register_keras_serializable("mrcnn_keras")
class KeypointLoss(Float32Layer):
    """Loss of the keypoint branch over the RoIs that are objects (section 5).

    Inputs: logits (R, M, M, J), the first four results of `PositiveRois`, and gt_keypoints (B, G, J, 3) float32 x, y in
    input pixels and visibility. Returns: () float32.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def call(self, logits, rois, image_index, class_targets, gt_index, gt_keypoints, training=None):
        keypoints = tf.gather_nd(gt_keypoints, tf.stack([image_index, gt_index], axis=1))
        cell, visible = losses.keypoint_targets(keypoints, rois, size=logits.shape[1])
        valid = visible & (class_targets >= 0)[:, None]
        return losses.keypoint_loss(logits, cell, valid, _divide(training))

    def compute_output_spec(self, *args, **kwargs):
        return _scalars(1)[0]
