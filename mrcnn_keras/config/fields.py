"""MaskRCNNConfig: every setting of a model, one flat frozen dataclass, checked when it is made."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from mrcnn_keras.config.backbones import BACKBONES
from mrcnn_keras.config.checks import check, head_layers

FPN_STRIDES = (4, 8, 16, 32, 64)
STRIDES = {"fpn": FPN_STRIDES, "c4": (16,), "c5": (32,), "dc5": (16,)}


@dataclasses.dataclass(frozen=True)
class MaskRCNNConfig:
    """Settings of a Mask R-CNN; the defaults are ResNet-50-FPN as in the paper (sections 3.1 and 4).

    Sizes are pixels of the network's input, thresholds are IoU or probability in [0, 1]. `class_names` may be left
    empty, and then the classes are called "class 0", "class 1" and so on.

    Attributes:
        num_classes: object classes, the background not counted.
        class_names: one name a class.
        image_min_side: the shorter side after resizing (test time, and training unless `train_min_sides` is set).
        image_max_side: the longer side never exceeds this.
        train_min_sides: shorter sides in training, one of which is drawn for each image; empty: `image_min_side`.
        min_side_sampling: "choice" of one of `train_min_sides`, or "range": any whole number from the first to the
            second.
        color_jitter: how much brightness, contrast, saturation (each from 0 up) and hue (to 0.5 circles) change at
            random in training; 0.4 stands for factors in [0.6, 1.4].
        scale_jitter: least and most scale, (0.1, 2.0) in the paper, of large-scale jitter in training (Ghiasi et al.,
            CVPR 2021), which then takes the place of `train_min_sides`; empty: none.
        crop_size: (height, width) that it crops and pads to; at scale 1 a photo just fits.
        size_divisor: images are padded to a multiple of this.
        resize: the system whose way of resizing a photo for detection is followed: "detectron2" (Pillow), "torchvision"
            or "matterport".
        square_padding: the image lies in the middle of a black square of `image_max_side` (matterport), and not at the
            top left with zeros after normalising. Both are for detection; training resizes with Pillow and pads at the
            bottom right.
        pixel_mean, pixel_std: RGB, on the 0..255 scale.
        backbone: a name of `config.BACKBONES`: "resnet18", "resnet50", "resnext101_32x8d", ...; `backbone_blocks`
            overrides its four block counts.
        features: "fpn", or one level: "c4" (res5 is the head then), "c5", or "dc5" (res5 dilated, stride 16).
        stem_pool: padding of the max-pool behind the stem, "symmetric" or "same" (matterport).
        norm_bias: convolutions have a bias under their norm too (matterport, Keras' ImageNet ResNets).
        backbone_norm, fpn_norm, head_norm: one of "none", "frozen", "batch", "sync_batch", "group"; `head_norm` is
            that of the convolutions in the box and mask heads, `fc_norm` of the box head's fully connected layers.
        norm_momentum: share of the old value in the running statistics of "batch" and "sync_batch".
        stem_channels, res2_channels, num_groups, width_per_group: ResNet widths as Detectron2 names them; of the last
            three, 0 is what the backbone's name says.
        non_local_blocks: non-local blocks in each of res2..res5 (Wang et al., CVPR 2018); (0, 0, 1, 0) is table 8's.
        stride_in_1x1: the stride of a bottleneck sits in its first 1x1 convolution (MSRA) or in the 3x3.
        freeze_at: stages never trained: 0 none, 1 the stem, 2 the stem and res2, ... 5 all.
        gradient_checkpointing: train with less memory, computing the backbone's activations twice.
        anchor_sizes: one side (or a tuple of them) for each of P2..P6; with one level: all its sides.
        anchor_ratios: height / width. anchor_rounding: torchvision's anchors, see `layers.anchors.Anchors`.
        rpn_channels: of the RPN's convolutions, 0 for those of its features; rpn_convs: how many there are.
        rpn_min_size: proposals with a shorter side are dropped, pixels; rpn_by_level: the best are chosen and overlaps
            suppressed level by level.
        rpn_delta_weights, box_delta_weights: of the box coders (1 / the standard deviations that others divide by).
        box_inclusive: boxes are counted in whole pixels that belong to them (matterport), within the network only.
        rpn_batch_size, rpn_positive_fraction: anchors sampled an image and the most of them that are positive.
        roi_batch_size, roi_positive_fraction: the same for RoIs.
        rpn_iou_thresholds: below the first an anchor is background, from the second on it is an object.
        roi_iou_threshold: from this IoU on a RoI is an object.
        rpn_smooth_l1_beta, box_smooth_l1_beta: where smooth L1 turns from square to linear; 0 is plain L1.
        roi_op: "align", "pool" (RoIPool), "warp" (RoIWarp) or "crop_and_resize" (matterport). roi_reduce: "average" or
            "max" of the samples of "align" and "warp". roi_sampling_ratio: samples a bin and side, 0 adaptive.
            roi_aligned: half-pixel offset. roi_level_rounding: how a RoI's level is rounded, see `boxes.fpn_level`.
        box_head: "2fc", "4conv1fc" or any such numbers, or, on "c4" features, "res5".
        res5_stride: of the first block of that head.
        mask_head: "fcn", "mlp" (table 2e) or "none"; mask_head_convs: 3x3 convolutions of the first; mask_head_fcs,
            mask_head_fc_dim: hidden layers of the second.
        mask_loss: "sigmoid", or "softmax": the classes and the background compete for each pixel (table 2b).
        mask_class_agnostic: one mask for all classes. box_class_agnostic: the same for boxes.
        num_keypoints: 0 for no keypoint head; keypoint_score: "softmax" or "logit", what a keypoint's score is.
        keypoint_names, keypoint_skeleton: one name a keypoint, and the pairs of keypoints that a limb is drawn between;
            both may be left empty.
        keypoint_flip: for each keypoint the index of what it becomes in a mirrored image; empty: as the names say.
        keypoint_sigmas: of OKS in evaluation, one a keypoint; empty: the dataset's, or COCO's for 17 keypoints.
        best_class_only: a proposal gives at most one detection (matterport). detection_min_size: detections with a
            shorter side are dropped, pixels.
        mask_paste: "exact" (Detectron2) or "padded" (torchvision), how a mask is put into the image.
        tta_scales, tta_flip: views of an image in test-time augmentation (`detect(tta=True)`): factors of
            `image_min_side` and `image_max_side`, and whether each is seen mirrored, too.
        training_stages: "end_to_end"; "stage_wise", the RPN first and then the rest on its proposals, each with
            features of its own (section 3.1); or "alternating", Faster R-CNN's four steps to shared features (section
            4.4). See `training.stages`.
        stage_proposals: where the second stage has its proposals from: "live", the RPN sees every image as it is
            trained on, or "stored", it has seen every photo once.
        gt_mask_size: side of the crop in which ground-truth masks are carried.
        batch_size: images a step, all replicas together; `base_learning_rate` is for 16 images and scales with it.
        total_steps: length of a run where none is given, which the schedule spans.
        learning_rate_drops: fractions of the run at which the rate is divided by 10.
        gradient_clip_norm: gradients are scaled down to this global norm; 0: never.
        seed: of the weights, the sampling and the order of the data.

    Raises:
        ValueError: a field out of its range, with the value given and what was expected.
    """

    num_classes: int = 80
    class_names: tuple[str, ...] = ()
    # the image
    image_min_side: int = 800
    image_max_side: int = 1333
    train_min_sides: tuple[int, ...] = ()
    min_side_sampling: str = "choice"
    color_jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    scale_jitter: tuple[float, ...] = ()
    crop_size: tuple[int, int] = (1024, 1024)
    size_divisor: int = 32
    resize: str = "detectron2"
    square_padding: bool = False
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    # the backbone
    backbone: str = "resnet50"
    backbone_blocks: tuple[int, ...] = ()
    features: str = "fpn"
    backbone_norm: str = "frozen"
    norm_momentum: float = 0.9
    norm_epsilon: float = 1e-5
    norm_groups: int = 32
    norm_bias: bool = False
    stem_pool: str = "symmetric"
    stem_channels: int = 64
    res2_channels: int = 0
    num_groups: int = 0
    width_per_group: int = 0
    non_local_blocks: tuple[int, int, int, int] = (0, 0, 0, 0)
    stride_in_1x1: bool = False
    freeze_at: int = 2
    gradient_checkpointing: bool = False
    fpn_channels: int = 256
    fpn_norm: str = "none"
    # the region proposal network
    anchor_sizes: tuple = (32, 64, 128, 256, 512)
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    anchor_rounding: bool = False
    rpn_channels: int = 0
    rpn_convs: int = 1
    rpn_pre_nms_topk_train: int = 2000
    rpn_pre_nms_topk_test: int = 1000
    rpn_post_nms_topk_train: int = 1000
    rpn_post_nms_topk_test: int = 1000
    rpn_nms_threshold: float = 0.7
    rpn_min_size: float = 0.0
    rpn_by_level: bool = True
    rpn_delta_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    box_inclusive: bool = False
    rpn_batch_size: int = 256
    rpn_positive_fraction: float = 0.5
    rpn_iou_thresholds: tuple[float, float] = (0.3, 0.7)
    rpn_smooth_l1_beta: float = 1.0 / 9.0
    # regions of interest
    roi_batch_size: int = 512
    roi_positive_fraction: float = 0.25
    roi_iou_threshold: float = 0.5
    roi_op: str = "align"
    roi_reduce: str = "average"
    roi_sampling_ratio: int = 2
    roi_aligned: bool = True
    roi_canonical_size: float = 224.0
    roi_level_rounding: str = "down"
    # heads
    head_norm: str = "none"
    fc_norm: str = "none"
    box_head: str = "2fc"
    box_head_dim: int = 1024
    box_head_conv_dim: int = 256
    res5_stride: int = 2
    box_pool_size: int = 7
    box_class_agnostic: bool = False
    box_delta_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    box_smooth_l1_beta: float = 1.0
    mask_head: str = "fcn"
    mask_loss: str = "sigmoid"
    mask_class_agnostic: bool = False
    mask_head_dim: int = 256
    mask_head_convs: int = 4
    mask_head_fcs: int = 2
    mask_head_fc_dim: int = 1024
    mask_pool_size: int = 14
    mask_paste: str = "exact"
    num_keypoints: int = 0
    keypoint_head_dim: int = 512
    keypoint_head_convs: int = 8
    keypoint_pool_size: int = 14
    keypoint_score: str = "softmax"
    keypoint_names: tuple[str, ...] = ()
    keypoint_skeleton: tuple[tuple[int, int], ...] = ()
    keypoint_flip: tuple[int, ...] = ()
    keypoint_sigmas: tuple[float, ...] = ()
    # detections
    score_threshold: float = 0.05
    nms_threshold: float = 0.5
    max_detections: int = 100
    detection_min_size: float = 0.0
    best_class_only: bool = False
    tta_scales: tuple[float, ...] = (0.5, 0.625, 0.75, 0.875, 1.0, 1.125, 1.25, 1.375, 1.5)
    tta_flip: bool = True
    # training
    training_stages: str = "end_to_end"
    stage_proposals: str = "live"
    gt_mask_size: int = 112
    batch_size: int = 16
    base_learning_rate: float = 0.02
    warmup_steps: int = 1000
    total_steps: int = 160_000
    learning_rate_drops: tuple[float, ...] = (0.75,)
    momentum: float = 0.9
    weight_decay: float = 1e-4
    gradient_clip_norm: float = 0.0
    flip: bool = True
    seed: int = 0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (list, tuple)):
                object.__setattr__(self, field.name, _as_tuple(value))
        check(self)

    @property
    def names(self) -> tuple[str, ...]:
        """`class_names`, or "class 0", "class 1", ... where none were given."""
        return self.class_names or tuple(f"class {i}" for i in range(self.num_classes))

    @property
    def block_counts(self) -> tuple[int, ...]:
        """Blocks in res2..res5."""
        return self.backbone_blocks or BACKBONES[self.backbone].blocks

    @property
    def backbone_widths(self) -> tuple[int, int, int]:
        """`res2_channels`, `num_groups` and `width_per_group`, the backbone's own where they are 0."""
        own = BACKBONES[self.backbone]
        given = self.res2_channels, self.num_groups, self.width_per_group
        return tuple(a or b for a, b in zip(given, (own.res2_channels, own.num_groups, own.width_per_group)))

    @property
    def basic_blocks(self) -> bool:
        """Whether the backbone has blocks of two 3x3 convolutions (ResNet-18 and 34)."""
        return BACKBONES[self.backbone].basic

    @property
    def rpn_has_features(self) -> bool:
        """Whether there is a second backbone, which only the RPN learns with."""
        return self.training_stages != "end_to_end"

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels from one cell of the features to the next, for each level."""
        return STRIDES[self.features]

    @property
    def box_head_layers(self) -> tuple[int, int]:
        """Convolutions and fully connected layers of the box head; of "res5", none."""
        return head_layers(self.box_head) or (0, 0)

    @property
    def anchor_sizes_by_level(self) -> tuple[tuple[float, ...], ...]:
        """`anchor_sizes` as one tuple of sides for each level of the features."""
        if len(self.strides) == 1 and not any(isinstance(s, tuple) for s in self.anchor_sizes):
            return (self.anchor_sizes,)
        return tuple(s if isinstance(s, tuple) else (s,) for s in self.anchor_sizes)

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain Python values."""
        return dataclasses.asdict(self)

    def replace(self, **changes: Any) -> "MaskRCNNConfig":
        """A copy with some fields changed.

        Raises:
            ValueError: a name that is no field, with the nearest ones.
        """
        return make_config({**self.to_dict(), **changes})


def make_config(values: dict[str, Any]) -> MaskRCNNConfig:
    """A config from a dictionary of fields.

    Raises:
        ValueError: a name that is no field, with the nearest ones, or a value out of range.
    """
    known = [f.name for f in dataclasses.fields(MaskRCNNConfig)]
    for name in values:
        if name not in known:
            import difflib

            near = difflib.get_close_matches(name, known, n=3) or known
            raise ValueError(f"there is no config field {name!r}; did you mean {' or '.join(near)}?")
    return MaskRCNNConfig(**values)


def _as_tuple(value: Sequence) -> tuple:
    return tuple(_as_tuple(v) if isinstance(v, (list, tuple)) else v for v in value)
