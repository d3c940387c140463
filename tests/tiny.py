"""A Mask R-CNN that builds and trains within a second, for tests to vary."""

from mrcnn_keras.config import MaskRCNNConfig

# Each kind of head is small, so that any of them can be chosen by one field.
FIELDS = {
    "num_classes": 3,
    "image_min_side": 64,
    "image_max_side": 64,
    "backbone_blocks": (1, 1, 1, 1),
    "stem_channels": 8,
    "res2_channels": 16,
    "width_per_group": 8,
    "norm_groups": 4,
    "freeze_at": 0,
    "fpn_channels": 8,
    "anchor_sizes": (8, 16, 32, 64, 128),
    "rpn_pre_nms_topk_train": 100,
    "rpn_pre_nms_topk_test": 100,
    "rpn_post_nms_topk_train": 30,
    "rpn_post_nms_topk_test": 20,
    "roi_batch_size": 16,
    "box_head_dim": 16,
    "mask_head_dim": 8,
    "keypoint_head_dim": 8,
    "keypoint_head_convs": 1,
    "gt_mask_size": 28,
    "max_detections": 10,
    "score_threshold": 0.0,
    "batch_size": 2,
}


# Without a pyramid: a graph that takes less time to trace.
C4 = {"features": "c4", "anchor_sizes": (16, 32, 64), "box_head": "res5"}


def tiny_config(**fields) -> MaskRCNNConfig:
    """The configuration, with some fields of the test's own."""
    return MaskRCNNConfig(**{**FIELDS, **fields})


def tiny_model(**fields):
    """A model with random weights, not compiled."""
    from mrcnn_keras import MaskRCNN

    return MaskRCNN(tiny_config(**fields))


def tiny_settings(**fields) -> list[str]:
    """The same for the command line, which chooses a preset: "--set", "field=value", ..."""
    chosen = {**FIELDS, **fields}
    if "num_classes" not in fields:  # the command line reads the classes off the dataset
        del chosen["num_classes"]
    texts = {name: ",".join(map(str, v)) if isinstance(v, tuple) else str(v) for name, v in chosen.items()}
    return [word for name, text in texts.items() for word in ("--set", f"{name}={text}")]
