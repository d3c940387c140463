"""The training graphs of a network: from its inference graph to the losses, of all of it or of what a stage learns."""

import functools
from typing import Any

import keras

from .layers.roi_sampler import PositiveRois, RoISampler, TakeRows
from .layers.training_losses import BoxLoss, KeypointLoss, MaskLoss, RPNLoss
from .layers.windows import InclusiveBoxes


class TrainingGraphs:
    """Models from batches to scalar losses by name, over one set of layers.

    Args:
        builder: `network.GraphBuilder`.
        inputs: symbolic `images` and `image_sizes`.
        features: maps that the heads look at.
        rpn: logits, deltas and anchors of the RPN that detects.
        windows: of the builder.

    Attributes:
        inputs: those of inference, and `gt_boxes` (B, G, 4), `gt_class_ids` (B, G), -1 padding, and for the heads that
            there are `gt_masks` (B, G, S, S) uint8 and `gt_keypoints` (B, G, J, 3).
    """

    def __init__(self, builder: Any, inputs: dict[str, keras.KerasTensor], features, rpn, windows):
        self._builder, self._features, self._rpn, self._windows = builder, features, rpn, windows
        self.inputs = {**inputs, **self._ground_truth()}
        c = builder.config
        # These count their random draws, so there is one of each, whatever the graph.
        self._rpn_loss = RPNLoss(
            c.rpn_batch_size, c.rpn_positive_fraction, c.rpn_iou_thresholds, c.rpn_smooth_l1_beta,
            c.rpn_delta_weights, c.seed, name="rpn_loss",
        )  # fmt: skip
        self._sampler = RoISampler(
            c.roi_batch_size, c.roi_positive_fraction, c.roi_iou_threshold, c.num_classes, c.seed + 1,
            name="roi_sampler",
        )  # fmt: skip
        self.graph = functools.lru_cache(maxsize=None)(self._make_graph)

    def _make_graph(self, rpn: bool = True, heads: bool = True, first: bool = False, given: bool = False):
        """A model, made when it is first asked for.

        Args:
            rpn: with the RPN's losses.
            heads: with those of the heads.
            first: of the RPN that alternating training begins with, not the one that detects.
            given: the proposals are an input, `proposals` (B, P, 4), zero rows for padding.
        """
        inputs, losses = dict(self.inputs), {}
        gt_boxes = inputs["gt_boxes"]
        if self._builder.config.box_inclusive:
            gt_boxes = InclusiveBoxes(name="inclusive_boxes")(gt_boxes)
        found = None if given and not rpn else self._found(first)
        if rpn:
            rpn_losses = self._rpn_loss(*found, gt_boxes, inputs["gt_class_ids"])
            losses |= dict(zip(("rpn_class_loss", "rpn_box_loss"), rpn_losses, strict=True))
        if heads:
            if given:
                proposals = inputs["proposals"] = keras.Input((None, 4), name="proposals", dtype="float32")
            else:
                proposals, _ = self._builder.proposals(found, self._windows, "train")
            losses |= self._head_losses(proposals, gt_boxes)
        return keras.Model(inputs, losses, name="training")

    def _found(self, first: bool):
        if not first:
            return self._rpn
        images, image_sizes = self.inputs["images"], self.inputs["image_sizes"]
        return self._builder.rpn(self._builder.rpn_maps(images, image_sizes, None, first=True), images)

    def _ground_truth(self) -> dict[str, keras.KerasTensor]:
        c = self._builder.config
        inputs = {
            "gt_boxes": keras.Input((None, 4), name="gt_boxes", dtype="float32"),
            "gt_class_ids": keras.Input((None,), name="gt_class_ids", dtype="int32"),
        }
        if self._builder.mask_head:
            shape = (None, c.gt_mask_size, c.gt_mask_size)
            inputs["gt_masks"] = keras.Input(shape, name="gt_masks", dtype="uint8")
        if self._builder.keypoint_head:
            inputs["gt_keypoints"] = keras.Input((None, c.num_keypoints, 3), name="gt_keypoints", dtype="float32")
        return inputs

    def _head_losses(self, proposals, gt_boxes) -> dict[str, keras.KerasTensor]:
        builder, c = self._builder, self._builder.config
        sampled = self._sampler(proposals, gt_boxes, self.inputs["gt_class_ids"])
        box_features = builder.roi_features(builder.box_align, self._features, *sampled[:2])
        predicted = builder.box_head(box_features)
        box_loss = BoxLoss(c.num_classes, c.box_delta_weights, c.box_smooth_l1_beta, name="box_loss")
        class_loss, box_loss = box_loss(*predicted, *sampled, gt_boxes)
        losses = {"class_loss": class_loss, "box_loss": box_loss}
        if builder.mask_head or builder.keypoint_head:
            most = c.roi_batch_size, int(c.roi_batch_size * c.roi_positive_fraction)
            *objects, row = PositiveRois(c.num_classes, *most, name="positive_rois")(*sampled)
            # After res5 the box branch's features of these RoIs are the mask branch's too (figure 4, left).
            shared = TakeRows(name="object_features")(box_features, row) if builder.res5 else None
            losses |= self._object_losses(shared, objects, gt_boxes)
        return losses

    def _object_losses(self, shared, objects, gt_boxes) -> dict[str, keras.KerasTensor]:
        builder, losses = self._builder, {}
        if builder.mask_head:
            pooled = self._pooled(builder.mask_align, objects) if shared is None else shared
            mask_loss = MaskLoss(builder.config.mask_loss, name="mask_loss")
            logits = builder.mask_head(pooled, objects[2])
            losses["mask_loss"] = mask_loss(logits, *objects, gt_boxes, self.inputs["gt_masks"])
        if builder.keypoint_head:
            logits = builder.keypoint_head(self._pooled(builder.keypoint_align, objects))
            keypoint_loss = KeypointLoss(name="keypoint_loss")
            losses["keypoint_loss"] = keypoint_loss(logits, *objects, self.inputs["gt_keypoints"])
        return losses

    def _pooled(self, align, objects):
        return self._builder.roi_features(align, self._features, *objects[:2])
