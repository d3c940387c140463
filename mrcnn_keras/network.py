"""The two functional graphs of a Mask R-CNN, over the same layers: inference, and training down to the losses."""

import contextlib
import contextvars
import dataclasses
import random
from collections.abc import Iterator

import keras

from .backbones.fpn import FPN
from .backbones.resnet import ResNet
from .config import MaskRCNNConfig
from .heads.box import BoxHead
from .heads.keypoint import KeypointHead
from .heads.mask import MaskHead
from .heads.mask_mlp import MaskMLPHead
from .heads.res5 import Res5Head
from .heads.rpn import RPNHead
from .layers.anchors import Anchors
from .layers.detection import DetectionLayer, FlattenBoxes, FoundRows, MaskProbabilities
from .layers.keypoints import KeypointDecoder
from .layers.normalize import NormalizeImages
from .layers.proposal import ProposalLayer
from .layers.roi_align import RoIAlignLayer
from .layers.roi_sampler import PositiveRois, RoISampler, TakeRows
from .layers.training_losses import BoxLoss, KeypointLoss, MaskLoss, RPNLoss
from .layers.windows import ContinuousBoxes, ImageWindows, InclusiveBoxes

ROI_LEVELS = 4  # RoIs take their features from P2..P5; P6 is for proposals only (FPN, section 4.1)


@dataclasses.dataclass(frozen=True)
class Graphs:
    """Symbolic inputs and outputs, dictionaries by name, of both graphs; and what holds their layers."""

    inputs: dict[str, keras.KerasTensor]
    outputs: dict[str, keras.KerasTensor]
    training_inputs: dict[str, keras.KerasTensor]
    losses: dict[str, keras.KerasTensor]
    builder: "GraphBuilder"


def build_graphs(config: MaskRCNNConfig) -> Graphs:
    """Make the layers a config asks for and connect them.

    Inference inputs: `images` (B, H, W, 3) RGB 0..255, padded at the right and bottom; `image_sizes` (B, 2) float32
    [height, width] of the part that is no padding. Outputs: `boxes` (B, D, 4), `scores` (B, D), `class_ids` (B, D)
    with -1 for padding, with a mask head `mask_probs` (B, D, M, M) and with a keypoint head `keypoints` (B, D, J, 3).
    Training adds `gt_boxes` (B, G, 4), `gt_class_ids` (B, G), -1 padding, and for the heads there are `gt_masks`
    (B, G, S, S) uint8 and `gt_keypoints` (B, G, J, 3); the results are scalar losses.

    Weights are drawn from `config.seed`; Python's own random state is left as it was.
    """
    with _seeded(config.seed):
        builder = GraphBuilder(config)
        if not _drawn.get():
            builder.start_from_zeros()
        return builder.build()


_drawn = contextvars.ContextVar("drawn", default=True)


@contextlib.contextmanager
def undrawn() -> Iterator[None]:
    """A context whose graphs have zeros for random weights, since those of a file follow."""
    token = _drawn.set(False)
    try:
        yield
    finally:
        _drawn.reset(token)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # Keras initializers take their default seeds from Python's `random`.
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


class GraphBuilder:
    """The layers that a config asks for, and how they are connected.

    Its methods take tensors as well as symbolic ones: see `network_passes`.
    """

    def __init__(self, config: MaskRCNNConfig):
        self.config = c = config
        self.norm = {
            "norm_momentum": c.norm_momentum,
            "norm_epsilon": c.norm_epsilon,
            "norm_groups": c.norm_groups,
            "norm_bias": c.norm_bias,
        }
        self.normalize = NormalizeImages(c.pixel_mean, c.pixel_std, not c.square_padding, name="normalize")
        self.windows = ImageWindows(c.square_padding, c.box_inclusive, name="windows")
        stages = c.block_counts[: 3 if c.features == "c4" else 4]
        self.backbone = ResNet(
            stages, c.stem_channels, *c.backbone_widths, c.stride_in_1x1, c.freeze_at, 2 if c.features == "dc5" else 1,
            c.stem_pool, c.basic_blocks, c.non_local_blocks[: len(stages)], c.gradient_checkpointing,
            norm=c.backbone_norm, name="backbone", **self.norm,
        )  # fmt: skip
        self.fpn = FPN(c.fpn_channels, norm=c.fpn_norm, name="fpn", **self.norm) if c.features == "fpn" else None
        self.anchors = Anchors(c.anchor_sizes_by_level, c.anchor_ratios, c.strides, c.anchor_rounding, name="anchors")
        num_anchors = len(c.anchor_ratios) * len(c.anchor_sizes_by_level[0])
        channels = c.fpn_channels if self.fpn else c.backbone_widths[0] * 2 ** (len(stages) - 1)
        self.rpn_head = RPNHead(c.rpn_channels or channels, num_anchors, c.rpn_convs, name="rpn_head")
        self._make_heads()

    def _make_heads(self) -> None:
        c = self.config
        self.res5 = self._res5_head() if c.box_head == "res5" else None
        self.box_align = self._roi_align(c.box_pool_size, "box_roi_align")
        self.box_head = self._box_head()
        self.mask_head = self.keypoint_head = None
        if c.mask_head != "none":
            self.mask_align = self._roi_align(c.box_pool_size if self.res5 else c.mask_pool_size, "mask_roi_align")
            self.mask_head = self._mask_head()
        if c.num_keypoints:
            self.keypoint_align = self._roi_align(c.keypoint_pool_size, "keypoint_roi_align")
            self.keypoint_head = KeypointHead(
                c.num_keypoints, c.keypoint_head_dim, c.keypoint_head_convs, name="keypoint_head"
            )

    def _roi_align(self, size: int, name: str) -> RoIAlignLayer:
        c = self.config
        return RoIAlignLayer(
            size, c.strides[:ROI_LEVELS], c.roi_sampling_ratio, c.roi_aligned, c.roi_canonical_size, c.roi_op,
            c.roi_level_rounding, c.roi_reduce, name=name,
        )  # fmt: skip

    def _res5_head(self) -> Res5Head:
        c = self.config
        head = Res5Head(
            c.block_counts[3], *c.backbone_widths, c.stride_in_1x1, c.res5_stride, c.basic_blocks,
            norm=c.backbone_norm, name="res5_head", **self.norm,
        )  # fmt: skip
        head.trainable = c.freeze_at < 5
        return head

    def _box_head(self) -> BoxHead:
        c = self.config
        num_convs, num_fcs = c.box_head_layers
        return BoxHead(
            c.num_classes, num_convs, c.box_head_conv_dim, num_fcs, c.box_head_dim, c.box_class_agnostic, c.fc_norm,
            "mean" if c.box_head == "res5" else "flatten", norm=c.head_norm, name="box_head", **self.norm,
        )  # fmt: skip

    def _mask_head(self) -> MaskHead | MaskMLPHead:
        c = self.config
        common = {"class_agnostic": c.mask_class_agnostic, "kind": c.mask_loss, "name": "mask_head"}
        if c.mask_head == "mlp":
            return MaskMLPHead(c.num_classes, c.mask_head_fc_dim, c.mask_head_fcs, **common)
        return MaskHead(c.num_classes, c.mask_head_dim, c.mask_head_convs, **common, norm=c.head_norm, **self.norm)

    def start_from_zeros(self) -> None:
        """Have the kernels, before they are made, start as zeros."""
        for part in vars(self).values():
            for layer in part._flatten_layers() if isinstance(part, keras.layers.Layer) else ():
                if hasattr(layer, "kernel_initializer"):
                    layer.kernel_initializer = keras.initializers.Zeros()

    def build(self) -> Graphs:
        self.images = images = keras.Input((None, None, 3), name="images", dtype="float32")
        image_sizes = keras.Input((2,), name="image_sizes", dtype="float32")
        inputs = {"images": images, "image_sizes": image_sizes}
        features = self.feature_maps = self.features(images, image_sizes)
        rpn = self.rpn(features, images)
        windows = self.windows(images, image_sizes)
        outputs = self._inference(features[:ROI_LEVELS], rpn, windows)
        ground_truth = self._ground_truth()
        losses = self._training(features[:ROI_LEVELS], rpn, windows, ground_truth)
        return Graphs(inputs, outputs, {**inputs, **ground_truth}, losses, self)

    def features(self, images, image_sizes) -> list:
        """Feature maps (B, H, W, C) of images (B, H, W, 3) and image_sizes (B, 2), finest first."""
        features = self.backbone(self.normalize(images, image_sizes))
        return self.fpn(features) if self.fpn else features[-1:]

    def rpn(self, features, images) -> tuple[list, list, list]:
        """Logits, deltas and anchors of each level."""
        anchors = self.anchors(features, images)
        if self.config.box_inclusive:
            inclusive = InclusiveBoxes(name="inclusive_anchors")
            anchors = [inclusive(level) for level in anchors]
        return (*self.rpn_head(features), anchors)

    def _ground_truth(self) -> dict[str, keras.KerasTensor]:
        side = self.config.gt_mask_size
        inputs = {
            "gt_boxes": keras.Input((None, 4), name="gt_boxes", dtype="float32"),
            "gt_class_ids": keras.Input((None,), name="gt_class_ids", dtype="int32"),
        }
        if self.mask_head:
            inputs["gt_masks"] = keras.Input((None, side, side), name="gt_masks", dtype="uint8")
        if self.keypoint_head:
            shape = (None, self.config.num_keypoints, 3)
            inputs["gt_keypoints"] = keras.Input(shape, name="gt_keypoints", dtype="float32")
        return inputs

    def proposals(self, rpn, windows, mode: str):
        """(B, P, 4) xyxy, for "train" or "test"."""
        c = self.config
        before, after = getattr(c, f"rpn_pre_nms_topk_{mode}"), getattr(c, f"rpn_post_nms_topk_{mode}")
        layer = ProposalLayer(
            before, after, c.rpn_nms_threshold, c.rpn_min_size, c.rpn_delta_weights, c.rpn_by_level,
            name=f"proposals_{mode}",
        )  # fmt: skip
        return layer(*rpn, windows[0])[0]

    def roi_features(self, align: RoIAlignLayer, features, rois, image_index, images=None):
        """What a head takes, of RoIs (R, 4) on the first `ROI_LEVELS` maps."""
        pooled = align(features, rois, image_index, self.images if images is None else images)
        return self.res5(pooled) if self.res5 else pooled

    def _inference(self, features, rpn, windows) -> dict[str, keras.KerasTensor]:
        c = self.config
        proposals = self.proposals(rpn, windows, "test")
        rois, image_index = FlattenBoxes(name="flatten_proposals")(proposals)
        class_logits, box_deltas = self.box_head(self.roi_features(self.box_align, features, rois, image_index))
        boxes, scores, class_ids = self.detection_layer()(class_logits, box_deltas, proposals, windows[1])
        outputs = {"boxes": boxes, "scores": scores, "class_ids": class_ids}
        if self.mask_head or self.keypoint_head:
            outputs.update(self._found(features, boxes, class_ids))
        if c.box_inclusive:
            outputs["boxes"] = ContinuousBoxes(name="continuous_boxes")(boxes, class_ids)
        return outputs

    def detection_layer(self) -> DetectionLayer:
        """It has no weights, so every call may make its own."""
        c = self.config
        return DetectionLayer(
            c.num_classes, c.score_threshold, c.nms_threshold, c.max_detections, c.box_delta_weights,
            c.box_class_agnostic, c.detection_min_size, c.best_class_only, name="detections",
        )  # fmt: skip

    def _found(self, features, boxes, class_ids) -> dict[str, keras.KerasTensor]:
        """Masks and keypoints of the detections."""
        outputs = {}
        rois, image_index, classes, row = FoundRows(name="found_rows")(boxes, class_ids)
        if self.mask_head:
            logits = self.mask_head(self.roi_features(self.mask_align, features, rois, image_index), classes)
            outputs["mask_probs"] = MaskProbabilities(self.config.mask_loss, name="mask_probs")(
                logits, row, classes, class_ids
            )
        if self.keypoint_head:
            logits = self.keypoint_head(self.roi_features(self.keypoint_align, features, rois, image_index))
            decode = KeypointDecoder(self.config.keypoint_score, name="keypoints")
            outputs["keypoints"] = decode(logits, rois, row, classes, class_ids, self.images)
        return outputs

    def _training(self, features, rpn, windows, gt) -> dict[str, keras.KerasTensor]:
        c = self.config
        gt_boxes, gt_class_ids = gt["gt_boxes"], gt["gt_class_ids"]
        if c.box_inclusive:
            gt_boxes = InclusiveBoxes(name="inclusive_boxes")(gt_boxes)
        rpn_loss = RPNLoss(
            c.rpn_batch_size, c.rpn_positive_fraction, c.rpn_iou_thresholds, c.rpn_smooth_l1_beta,
            c.rpn_delta_weights, c.seed, name="rpn_loss",
        )  # fmt: skip
        rpn_class, rpn_box = rpn_loss(*rpn, gt_boxes, gt_class_ids)
        sampler = RoISampler(
            c.roi_batch_size, c.roi_positive_fraction, c.roi_iou_threshold, c.num_classes, c.seed + 1,
            name="roi_sampler",
        )  # fmt: skip
        sampled = sampler(self.proposals(rpn, windows, "train"), gt_boxes, gt_class_ids)
        box_features = self.roi_features(self.box_align, features, *sampled[:2])
        predicted = self.box_head(box_features)
        box_loss = BoxLoss(c.num_classes, c.box_delta_weights, c.box_smooth_l1_beta, name="box_loss")
        class_loss, box_loss = box_loss(*predicted, *sampled, gt_boxes)
        losses = {
            "rpn_class_loss": rpn_class,
            "rpn_box_loss": rpn_box,
            "class_loss": class_loss,
            "box_loss": box_loss,
        }
        if self.mask_head or self.keypoint_head:
            most = c.roi_batch_size, int(c.roi_batch_size * c.roi_positive_fraction)
            *objects, row = PositiveRois(c.num_classes, *most, name="positive_rois")(*sampled)
            # After res5 the box branch's features of these RoIs are the mask branch's too (figure 4, left).
            shared = TakeRows(name="object_features")(box_features, row) if self.res5 else None
            losses.update(self._object_losses(features, shared, objects, gt_boxes, gt))
        return losses

    def _object_losses(self, features, shared, objects, gt_boxes, gt) -> dict[str, keras.KerasTensor]:
        losses = {}
        if self.mask_head:
            pooled = self.roi_features(self.mask_align, features, *objects[:2]) if shared is None else shared
            logits = self.mask_head(pooled, objects[2])
            mask_loss = MaskLoss(self.config.mask_loss, name="mask_loss")
            losses["mask_loss"] = mask_loss(logits, *objects, gt_boxes, gt["gt_masks"])
        if self.keypoint_head:
            logits = self.keypoint_head(self.roi_features(self.keypoint_align, features, *objects[:2]))
            losses["keypoint_loss"] = KeypointLoss(name="keypoint_loss")(logits, *objects, gt["gt_keypoints"])
        return losses
