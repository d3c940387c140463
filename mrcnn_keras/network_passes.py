"""The inference graph in pieces, for a detection that runs some of them several times."""

import functools
from collections.abc import Sequence

import tensorflow as tf

from .heads.keypoint import UPSAMPLING as KEYPOINT_UPSAMPLING
from .inference.replicas import ReplicaFunction
from .layers.detection import FlattenBoxes, FoundRows, MaskProbabilities, in_all_rows
from .layers.keypoints import decode_keypoints
from .network import ROI_LEVELS, GraphBuilder


class NetworkPasses:
    """Functions over the layers of a model, each a `ReplicaFunction`, traced when it is first called.

    Below, `images` is (B, H, W, 3) as `detect` pads them, `image_sizes` (B, 2) float32, and `maps` are the feature maps
    of `features`, each an argument of its own. Boxes are float32 xyxy in pixels of the padded images.

    Args:
        builder: of the model's graphs.
        strategy: that the model was made under.
        first_rpn: the proposals are those of the RPN that alternating training begins with.

    Attributes:
        features: (images, image_sizes) -> maps, by "0", "1", ...
        proposals: (images, image_sizes, *maps) -> `proposals` (B, P, 4), zeros at the end where there are fewer, and
            their `scores` (B, P).
        training_proposals: the same with the numbers of proposals of training.
        candidates: (images, image_sizes, proposals, *maps) -> `boxes` (B, P, K, 4), or (B, P, 1, 4) that all classes
            share, and `scores` (B, P, K) of every class, before thresholds and suppression.
        objects: (images, boxes (B, D, 4), class_ids (B, D) int32, -1 for padding, *maps) -> `mask_probs` (B, D, M, M)
            and `keypoint_logits` (B, D, M, M, J), those that the model has.
    """

    def __init__(self, builder: GraphBuilder, strategy: tf.distribute.Strategy, first_rpn: bool = False):
        self._builder, self._strategy, self._first_rpn = builder, strategy, first_rpn
        self._detection = builder.detection_layer()
        self._flatten, self._found = FlattenBoxes(), FoundRows()
        self._probabilities = MaskProbabilities(builder.config.mask_loss)
        self._maps = [tf.TensorSpec(one.shape, one.dtype) for one in builder.feature_maps]
        pixels = tf.float32 if builder.config.resize == "torchvision" else tf.uint8
        self._images = [tf.TensorSpec([None, None, None, 3], pixels), tf.TensorSpec([None, 2], tf.float32)]

    @functools.cached_property
    def features(self) -> ReplicaFunction:
        return self._function(self._run_features, self._images)

    @functools.cached_property
    def proposals(self) -> ReplicaFunction:
        return self._function(functools.partial(self._run_proposals, "test"), [*self._images, *self._maps])

    @functools.cached_property
    def training_proposals(self) -> ReplicaFunction:
        return self._function(functools.partial(self._run_proposals, "train"), [*self._images, *self._maps])

    @functools.cached_property
    def candidates(self) -> ReplicaFunction:
        proposals = tf.TensorSpec([None, None, 4], tf.float32)
        return self._function(self._run_candidates, [*self._images, proposals, *self._maps])

    @functools.cached_property
    def objects(self) -> ReplicaFunction:
        boxes, class_ids = tf.TensorSpec([None, None, 4], tf.float32), tf.TensorSpec([None, None], tf.int32)
        return self._function(self._run_objects, [self._images[0], boxes, class_ids, *self._maps])

    @functools.cached_property
    def keypoints(self):
        """(logits (R, M, M, J), rois (R, 4)) -> (R, J, 3) x, y in pixels and score; a function for one device."""
        c = self._builder.config
        side, score = c.keypoint_pool_size * KEYPOINT_UPSAMPLING, c.keypoint_score

        def decode(logits: tf.Tensor, rois: tf.Tensor) -> tf.Tensor:
            spec = tf.TensorSpec([logits.shape[3], 3], tf.float32)
            return tf.map_fn(lambda pair: decode_keypoints(*pair, score), (logits, rois), fn_output_signature=spec)

        maps = tf.TensorSpec([None, side, side, c.num_keypoints], tf.float32)
        return tf.function(decode, input_signature=[maps, tf.TensorSpec([None, 4], tf.float32)], autograph=False)

    def _function(self, run, signature: Sequence[tf.TensorSpec]) -> ReplicaFunction:
        return ReplicaFunction(run, signature, self._strategy)

    def _run_features(self, images, image_sizes):
        maps = self._builder.features(tf.cast(images, tf.float32), image_sizes)
        return {str(number): one for number, one in enumerate(maps)}

    def _run_proposals(self, mode, images, image_sizes, *maps):
        images = tf.cast(images, tf.float32)
        maps = self._builder.rpn_maps(images, image_sizes, list(maps), self._first_rpn)
        windows = self._builder.windows(images, image_sizes)
        proposals, scores = self._builder.proposals(self._builder.rpn(maps, images), windows, mode)
        return {"proposals": proposals, "scores": scores}

    def _run_candidates(self, images, image_sizes, proposals, *maps):
        rois, image_index = self._flatten(proposals)
        pooled = self._pooled("box", maps, rois, image_index, images)
        window = self._builder.windows(images, image_sizes)[1]
        boxes, scores = self._detection.candidates(*self._builder.box_head(pooled), proposals, window)
        return {"boxes": boxes, "scores": scores}

    def _run_objects(self, images, boxes, class_ids, *maps):
        rois, image_index, classes, row = self._found(boxes, class_ids)
        outputs = {}
        if self._builder.mask_head:
            logits = self._builder.mask_head(self._pooled("mask", maps, rois, image_index, images), classes)
            outputs["mask_probs"] = self._probabilities(logits, row, classes, class_ids)
        if self._builder.keypoint_head:
            logits = self._builder.keypoint_head(self._pooled("keypoint", maps, rois, image_index, images))
            outputs["keypoint_logits"] = in_all_rows(tf.cast(logits, tf.float32), row, classes, class_ids)
        return outputs

    def _pooled(self, head: str, maps, rois, image_index, images) -> tf.Tensor:
        align = getattr(self._builder, f"{head}_align")
        return self._builder.roi_features(align, list(maps[:ROI_LEVELS]), rois, image_index, images)
