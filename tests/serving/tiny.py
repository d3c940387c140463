"""A network that is small, and photos for it."""

import numpy as np
from PIL import Image

from ..tiny import tiny_config

TINY = tiny_config(
    image_min_side=96,
    image_max_side=160,
    backbone_norm="none",
    fpn_channels=16,
    anchor_sizes=(16, 32, 64, 96, 128),
    rpn_pre_nms_topk_test=200,
    rpn_post_nms_topk_test=50,
    score_threshold=0.05,
)
# With norms to fold, and smaller photos.
NORMED = TINY.replace(
    class_names=("cat", "dog", "bird"),
    image_min_side=64,
    image_max_side=128,
    backbone_norm="frozen",
    rpn_pre_nms_topk_test=100,
    rpn_post_nms_topk_test=30,
    score_threshold=0.1,
    max_detections=13,
)
KEYPOINTS = {"num_keypoints": 3}
# Without a pyramid: a graph of half the size, where that is not the point.
C4 = {"features": "c4", "anchor_sizes": (16, 32, 64), "box_head": "1fc"}


def photo(height, width, seed):
    """Smooth random colours, for a JPEG that keeps its detail."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def decided_model(config):
    """A model whose heads tell one place of an image from another; fresh ones hardly do."""
    from mrcnn_keras.model import MaskRCNN

    model = MaskRCNN(config)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        scale = {"gamma": 0.2, "moving_variance": 0.2, "beta": 0.1, "moving_mean": 0.1, "bias": 0.1}
        if weight.name in scale:
            weight.assign_add(rng.uniform(-1, 1, weight.shape) * scale[weight.name])
        elif any(name in weight.path for name in ("objectness", "deltas", "predictor", "box_head/class")):
            weight.assign(rng.normal(size=weight.shape) / np.sqrt(np.prod(weight.shape[:-1])))
    return model


def batch(sizes, height, width, seed=0):
    """Photos of random colours, padded; the inputs of the network."""
    coarse = np.random.default_rng(seed).integers(0, 256, (len(sizes), height // 8, width // 8, 3), dtype=np.uint8)
    return {"images": coarse.repeat(8, axis=1).repeat(8, axis=2), "image_sizes": np.array(sizes, np.float32)}
