"""The layers of a Mask R-CNN and its inference graph; `network_losses` goes on from it to the losses."""

import contextlib
import contextvars
import dataclasses
import random
from collections.abc import Iterator, Sequence

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
from .layers.windows import ContinuousBoxes, ImageWindows, InclusiveBoxes
from .network_losses import TrainingGraphs

ROI_LEVELS = 4  # RoIs take their features from P2..P5; P6 is for proposals only (FPN, section 4.1)


@dataclasses.dataclass(frozen=True)
class Graphs:
    """Symbolic inputs and outputs of inference, dictionaries by name; the training graphs; what holds the layers."""

    inputs: dict[str, keras.KerasTensor]
    outputs: dict[str, keras.KerasTensor]
    training: TrainingGraphs
    builder: "GraphBuilder"


def build_graphs(config: MaskRCNNConfig) -> Graphs:
    """Make the layers a config asks for and connect them.

    Inference inputs: `images` (B, H, W, 3) RGB 0..255, padded at the right and bottom; `image_sizes` (B, 2) float32
    [height, width] of the part that is no padding. Outputs: `boxes` (B, D, 4), `scores` (B, D), `class_ids` (B, D)
    with -1 for padding, with a mask head `mask_probs` (B, D, M, M) and with a keypoint head `keypoints` (B, D, J, 3).

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
        self.backbone, self.fpn = self._backbone("backbone"), self._fpn("fpn")
        self.anchors = Anchors(c.anchor_sizes_by_level, c.anchor_ratios, c.strides, c.anchor_rounding, name="anchors")
        num_anchors = len(c.anchor_ratios) * len(c.anchor_sizes_by_level[0])
        channels = c.fpn_channels if self.fpn else c.backbone_widths[0] * 2 ** (len(self._stages) - 1)
        self.rpn_head = RPNHead(c.rpn_channels or channels, num_anchors, c.rpn_convs, name="rpn_head")
        self._make_heads()
        # Stages that learn one after the other start from the same weights (section 3.1), so each has its own.
        self.rpn_backbone = self._backbone("rpn_backbone") if c.rpn_has_features else None
        self.rpn_fpn = self._fpn("rpn_fpn") if c.rpn_has_features else None
        self._own_trainable: list[tuple[bool, bool]] | None = None  # as it was, and as `train_only` left it

    @property
    def parts(self) -> dict[str, list[keras.layers.Layer]]:
        """The layers with weights, by what learns together."""
        parts = {
            "features": [self.backbone, self.fpn],
            "rpn_features": [self.rpn_backbone, self.rpn_fpn],
            "rpn": [self.rpn_head],
            "heads": [self.res5, self.box_head, self.mask_head, self.keypoint_head],
        }
        return {name: [layer for layer in layers if layer is not None] for name, layers in parts.items()}

    def train_only(self, names: Sequence[str]) -> None:
        """Have only these of the `parts` be trained, as far as they are to be but for earlier calls of this."""
        layers = [layer for part in self.parts.values() for one in part for layer in one._flatten_layers()]
        own = [layer.trainable for layer in layers]
        if self._own_trainable is not None:  # what nobody else has changed since is as it was before
            own = [before if now == left else now for now, (before, left) in zip(own, self._own_trainable, strict=True)]
        for layer, trainable in zip(layers, own, strict=True):
            layer.trainable = trainable
        for layer in (layer for name, part in self.parts.items() if name not in names for layer in part):
            layer.trainable = False
        self._own_trainable = [(before, layer.trainable) for before, layer in zip(own, layers, strict=True)]

    @property
    def _stages(self) -> tuple[int, ...]:
        """Blocks of each stage of the backbone."""
        return self.config.block_counts[: 3 if self.config.features == "c4" else 4]

    def _backbone(self, name: str) -> ResNet:
        c, stages = self.config, self._stages
        return ResNet(
            stages, c.stem_channels, *c.backbone_widths, c.stride_in_1x1, c.freeze_at, 2 if c.features == "dc5" else 1,
            c.stem_pool, c.basic_blocks, c.non_local_blocks[: len(stages)], c.gradient_checkpointing,
            norm=c.backbone_norm, name=name, **self.norm,
        )  # fmt: skip

    def _fpn(self, name: str) -> FPN | None:
        c = self.config
        return FPN(c.fpn_channels, norm=c.fpn_norm, name=name, **self.norm) if c.features == "fpn" else None

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
        rpn = self.rpn(self.rpn_maps(images, image_sizes, features), images)
        windows = self.windows(images, image_sizes)
        outputs = self._inference(features[:ROI_LEVELS], rpn, windows)
        return Graphs(inputs, outputs, TrainingGraphs(self, inputs, features[:ROI_LEVELS], rpn, windows), self)

    def features(self, images, image_sizes) -> list:
        """Feature maps (B, H, W, C) of images (B, H, W, 3) and image_sizes (B, 2), finest first."""
        return _maps(self.backbone, self.fpn, self.normalize(images, image_sizes))

    def rpn_maps(self, images, image_sizes, features, first: bool = False) -> list:
        """The maps that the RPN looks at, which may be the `features` of the heads.

        With `first` that of alternating training's first step.
        """
        if first or self.config.training_stages == "stage_wise":
            return _maps(self.rpn_backbone, self.rpn_fpn, self.normalize(images, image_sizes))
        return features

    def rpn(self, features, images) -> tuple[list, list, list]:
        """Logits, deltas and anchors of each level."""
        anchors = self.anchors(features, images)
        if self.config.box_inclusive:
            inclusive = InclusiveBoxes(name="inclusive_anchors")
            anchors = [inclusive(level) for level in anchors]
        return (*self.rpn_head(features), anchors)

    def proposals(self, rpn, windows, mode: str):
        """(B, P, 4) xyxy and their scores (B, P), for "train" or "test"."""
        c = self.config
        before, after = getattr(c, f"rpn_pre_nms_topk_{mode}"), getattr(c, f"rpn_post_nms_topk_{mode}")
        layer = ProposalLayer(
            before, after, c.rpn_nms_threshold, c.rpn_min_size, c.rpn_delta_weights, c.rpn_by_level,
            name=f"proposals_{mode}",
        )  # fmt: skip
        return layer(*rpn, windows[0])

    def roi_features(self, align: RoIAlignLayer, features, rois, image_index, images=None):
        """What a head takes, of RoIs (R, 4) on the first `ROI_LEVELS` maps."""
        pooled = align(features, rois, image_index, self.images if images is None else images)
        return self.res5(pooled) if self.res5 else pooled

    def _inference(self, features, rpn, windows) -> dict[str, keras.KerasTensor]:
        c = self.config
        proposals, _ = self.proposals(rpn, windows, "test")
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


def _maps(backbone: ResNet, fpn: FPN | None, normalized) -> list:
    maps = backbone(normalized)
    return fpn(maps) if fpn else maps[-1:]
