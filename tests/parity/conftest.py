"""Models that hold the weights of a Detectron2 parity case."""

import json
import pathlib
import pickle

import numpy as np
import pytest

RENAMES = (
    ("backbone.bottom_up.", "backbone/"),
    ("backbone.fpn_", "fpn/"),
    ("proposal_generator.rpn_head.objectness_logits", "rpn_head/objectness"),
    ("proposal_generator.rpn_head.anchor_deltas", "rpn_head/deltas"),
    ("proposal_generator.rpn_head.", "rpn_head/"),
    ("roi_heads.box_head.", "box_head/"),
    ("roi_heads.box_predictor.cls_score", "box_head/classifier"),
    ("roi_heads.box_predictor.bbox_pred", "box_head/regressor"),
    ("roi_heads.mask_head.mask_fcn", "mask_head/conv"),
    ("roi_heads.mask_head.", "mask_head/"),
    ("stem.conv1", "stem"),
    ("norm.weight", "norm/gamma"),
    ("norm.bias", "norm/beta"),
    ("norm.running_mean", "norm/moving_mean"),
    ("norm.running_var", "norm/moving_variance"),
    ("weight", "kernel"),
)


def keras_path(name: str) -> str:
    """Our variable's path for a Detectron2 tensor name."""
    for old, new in RENAMES:
        name = name.replace(old, new)
    for stage in (2, 3, 4, 5):
        name = name.replace(f"res{stage}.", f"res{stage}_")
    return name.replace(".", "/")


def keras_value(name: str, value: np.ndarray, pool: int = 7) -> np.ndarray:
    """A Detectron2 tensor in our layout (a gradient is converted the same way)."""
    if name.endswith("stem.conv1.weight"):
        value = value[:, ::-1]
    if name.endswith("box_head.fc1.weight"):
        value = value.reshape(len(value), -1, pool, pool).transpose(0, 2, 3, 1).reshape(len(value), -1)
    if name.endswith("deconv.weight"):
        return value.transpose(2, 3, 0, 1)
    if name.endswith("mask_head.predictor.weight"):
        return value[:, :, 0, 0].T
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    return value.T if value.ndim == 2 else value


class Case:
    """A folder of the reference system's weights, settings and results."""

    def __init__(self, folder: pathlib.Path):
        self.settings = json.loads((folder / "case.json").read_text())
        self.expected = np.load(folder / "expected.npz")
        self.tensors = pickle.loads((folder / "weights.pkl").read_bytes(), encoding="latin1")["model"]

    def model(self, **fields):
        """Our model with the case's architecture and weights, every variable set exactly once."""
        from mrcnn_keras import MaskRCNN, MaskRCNNConfig

        s = self.settings
        heads = s.get("box_head", s), s.get("mask_head", s)
        config = MaskRCNNConfig(
            num_classes=s["num_classes"],
            image_min_side=s["short_side"],
            image_max_side=s["long_side"],
            pixel_mean=s["pixel_mean_bgr"][::-1],
            pixel_std=(1.0, 1.0, 1.0),
            stem_channels=s["stem_channels"],
            res2_channels=s["res2_channels"],
            width_per_group=s["width_per_group"],
            stride_in_1x1=s["stride_in_1x1"],
            fpn_channels=s["fpn_channels"],
            box_head_dim=heads[0]["fc_dim"],
            mask_head_dim=heads[1].get("mask_conv_dim") or heads[1]["conv_dim"],
            roi_sampling_ratio=0,
            **fields,
        )
        model = MaskRCNN(config)
        variables = {v.path: v for v in model.variables if not v.path.endswith("/draws")}
        for name, value in self.tensors.items():
            variables.pop(keras_path(name)).assign(keras_value(name, value))
        if variables:
            raise ValueError(f"not in the checkpoint: {sorted(variables)}")
        return model


@pytest.fixture(scope="module")
def load_case(shared_dir):
    return lambda name: Case(shared_dir / "parity" / name)
