"""The two functional graphs of a Mask R-CNN, over the same layers: inference, and training down to the losses."""

import contextlib
import dataclasses
import random
from collections.abc import Iterator

import keras

from .backbones.fpn import FPN
from .backbones.resnet import ResNet
from .config import FPN_STRIDES, MaskRCNNConfig
from .heads.box import BoxHead
from .heads.mask import MaskHead
from .heads.rpn import RPNHead
from .layers.anchors import Anchors
from .layers.detection import DetectionLayer, FlattenBoxes, FoundRows, MaskProbabilities
from .layers.normalize import NormalizeImages
from .layers.proposal import ProposalLayer
from .layers.roi_align import RoIAlignLayer
from .layers.roi_sampler import PositiveRois, RoISampler
from .layers.training_losses import BoxLoss, MaskLoss, RPNLoss

ROI_LEVELS = 4  # RoIs take their features from P2..P5; P6 is for proposals only (FPN, section 4.1)


@dataclasses.dataclass(frozen=True)
class Graphs:
    """Symbolic inputs and outputs, dictionaries by name, of both graphs."""

    inputs: dict[str, keras.KerasTensor]
    outputs: dict[str, keras.KerasTensor]
    training_inputs: dict[str, keras.KerasTensor]
    losses: dict[str, keras.KerasTensor]


def build_graphs(config: MaskRCNNConfig) -> Graphs:
    """Make the layers a config asks for and connect them.

    Inference inputs: `images` (B, H, W, 3) RGB 0..255, padded at the right and bottom; `image_sizes` (B, 2) float32
    [height, width] of the part that is no padding. Outputs: `boxes` (B, D, 4), `scores` (B, D), `class_ids` (B, D)
    with -1 for padding and, with a mask head, `mask_probs` (B, D, M, M).
    Training adds `gt_boxes` (B, G, 4), `gt_class_ids` (B, G), -1 padding, and `gt_masks` (B, G, S, S) uint8; the
    results are scalar losses.

    Weights are drawn from `config.seed`; Python's own random state is left as it was.
    """
    with _seeded(config.seed):
        return _GraphBuilder(config).build()


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # Keras initializers take their default seeds from Python's `random`.
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


class _GraphBuilder:
    def __init__(self, config: MaskRCNNConfig):
        self.config = c = config
        self.has_masks = c.mask_head != "none"
        self.norm = {"norm_momentum": c.norm_momentum, "norm_epsilon": c.norm_epsilon, "norm_groups": c.norm_groups}
        self.normalize = NormalizeImages(c.pixel_mean, c.pixel_std, name="normalize")
        self.backbone = ResNet(
            c.block_counts, c.stem_channels, c.res2_channels, c.num_groups, c.width_per_group, c.stride_in_1x1,
            c.freeze_at, norm=c.backbone_norm, name="backbone", **self.norm,
        )  # fmt: skip
        self.fpn = FPN(c.fpn_channels, norm=c.fpn_norm, name="fpn", **self.norm)
        self.anchors = Anchors(c.anchor_sizes_by_level, c.anchor_ratios, FPN_STRIDES, name="anchors")
        num_anchors = len(c.anchor_ratios) * len(c.anchor_sizes_by_level[0])
        self.rpn_head = RPNHead(c.fpn_channels, num_anchors, name="rpn_head")
        self.box_align = self._roi_align(c.box_pool_size, "box_roi_align")
        self.box_head = self._box_head()
        if self.has_masks:
            self.mask_align = self._roi_align(c.mask_pool_size, "mask_roi_align")
            self.mask_head = MaskHead(
                c.num_classes, c.mask_head_dim, class_agnostic=c.mask_class_agnostic, norm=c.head_norm,
                name="mask_head", **self.norm,
            )  # fmt: skip

    def _roi_align(self, size: int, name: str) -> RoIAlignLayer:
        c = self.config
        strides = FPN_STRIDES[:ROI_LEVELS]
        return RoIAlignLayer(size, strides, c.roi_sampling_ratio, c.roi_aligned, c.roi_canonical_size, name=name)

    def _box_head(self) -> BoxHead:
        c = self.config
        num_convs, num_fcs = {"2fc": (0, 2), "4conv1fc": (4, 1)}[c.box_head]
        return BoxHead(
            c.num_classes, num_convs, c.fpn_channels, num_fcs, c.box_head_dim, c.box_class_agnostic, c.head_norm,
            name="box_head", **self.norm,
        )  # fmt: skip

    def build(self) -> Graphs:
        images = keras.Input((None, None, 3), name="images", dtype="float32")
        image_sizes = keras.Input((2,), name="image_sizes", dtype="float32")
        inputs = {"images": images, "image_sizes": image_sizes}
        features = self.fpn(self.backbone(self.normalize(images, image_sizes)))
        rpn = (*self.rpn_head(features), self.anchors(features))
        outputs = self._inference(features[:ROI_LEVELS], rpn, image_sizes)
        ground_truth = self._ground_truth()
        losses = self._training(features[:ROI_LEVELS], rpn, image_sizes, ground_truth)
        return Graphs(inputs, outputs, {**inputs, **ground_truth}, losses)

    def _ground_truth(self) -> dict[str, keras.KerasTensor]:
        side = self.config.gt_mask_size
        inputs = {
            "gt_boxes": keras.Input((None, 4), name="gt_boxes", dtype="float32"),
            "gt_class_ids": keras.Input((None,), name="gt_class_ids", dtype="int32"),
        }
        if self.has_masks:
            inputs["gt_masks"] = keras.Input((None, side, side), name="gt_masks", dtype="uint8")
        return inputs

    def _proposals(self, rpn, image_sizes, mode: str):
        c = self.config
        before, after = getattr(c, f"rpn_pre_nms_topk_{mode}"), getattr(c, f"rpn_post_nms_topk_{mode}")
        return ProposalLayer(before, after, c.rpn_nms_threshold, name=f"proposals_{mode}")(*rpn, image_sizes)[0]

    def _inference(self, features, rpn, image_sizes) -> dict[str, keras.KerasTensor]:
        c = self.config
        proposals = self._proposals(rpn, image_sizes, "test")
        rois, image_index = FlattenBoxes(name="flatten_proposals")(proposals)
        class_logits, box_deltas = self.box_head(self.box_align(features, rois, image_index))
        detect = DetectionLayer(
            c.num_classes, c.score_threshold, c.nms_threshold, c.max_detections, c.box_delta_weights,
            c.box_class_agnostic, name="detections",
        )  # fmt: skip
        boxes, scores, class_ids = detect(class_logits, box_deltas, proposals, image_sizes)
        outputs = {"boxes": boxes, "scores": scores, "class_ids": class_ids}
        if self.has_masks:
            rois, image_index, classes, row = FoundRows(name="found_rows")(boxes, class_ids)
            logits = self.mask_head(self.mask_align(features, rois, image_index), classes)
            outputs["mask_probs"] = MaskProbabilities(name="mask_probs")(logits, row, classes, class_ids)
        return outputs

    def _training(self, features, rpn, image_sizes, gt) -> dict[str, keras.KerasTensor]:
        c = self.config
        gt_boxes, gt_class_ids = gt["gt_boxes"], gt["gt_class_ids"]
        rpn_loss = RPNLoss(
            c.rpn_batch_size, c.rpn_positive_fraction, c.rpn_iou_thresholds, c.rpn_smooth_l1_beta, c.seed,
            name="rpn_loss",
        )  # fmt: skip
        rpn_class, rpn_box = rpn_loss(*rpn, gt_boxes, gt_class_ids)
        sampler = RoISampler(
            c.roi_batch_size, c.roi_positive_fraction, c.roi_iou_threshold, c.num_classes, c.seed + 1,
            name="roi_sampler",
        )  # fmt: skip
        sampled = sampler(self._proposals(rpn, image_sizes, "train"), gt_boxes, gt_class_ids)
        predicted = self.box_head(self.box_align(features, *sampled[:2]))
        box_loss = BoxLoss(c.num_classes, c.box_delta_weights, c.box_smooth_l1_beta, name="box_loss")
        class_loss, box_loss = box_loss(*predicted, *sampled, gt_boxes)
        losses = {
            "rpn_class_loss": rpn_class,
            "rpn_box_loss": rpn_box,
            "class_loss": class_loss,
            "box_loss": box_loss,
        }
        if self.has_masks:
            objects = PositiveRois(c.num_classes, name="positive_rois")(*sampled)
            logits = self.mask_head(self.mask_align(features, *objects[:2]), objects[2])
            losses["mask_loss"] = MaskLoss(name="mask_loss")(logits, *objects, gt_boxes, gt["gt_masks"])
        return losses
