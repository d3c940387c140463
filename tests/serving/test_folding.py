"""Models without norms that detect what those with norms do."""

import keras
import numpy as np
import pytest

from mrcnn_keras.layers.norm import BatchNorm
from mrcnn_keras.model import MaskRCNN
from mrcnn_keras.serving.folding import fold_norms

from .tiny import TINY, batch


def random_model(**fields):
    """Norms and biases that matter."""
    model = MaskRCNN(TINY.replace(score_threshold=0.0, **fields))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.rsplit("/", 1)[1] in ("gamma", "beta", "moving_mean", "moving_variance", "bias"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return model


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"backbone_norm": "frozen"}, 0),
        ({"backbone_norm": "batch", "fpn_norm": "batch", "head_norm": "sync_batch", "norm_bias": True}, 0),
        ({"features": "c4", "anchor_sizes": (16, 32), "box_head": "res5", "backbone_norm": "frozen"}, 0),
        ({"backbone_norm": "batch", "fc_norm": "batch", "non_local_blocks": (0, 0, 1, 0)}, 2),
    ],
)
def test_it_finds_the_same_without_norms(fields, left):
    model = random_model(**fields)
    folded = fold_norms(model)
    assert sum(isinstance(layer, BatchNorm) for layer in folded._flatten_layers()) == left
    inputs = batch([(90, 128)], 96, 128)
    inputs["images"] = inputs["images"].astype(np.float32)
    expected, found = (
        {name: one.numpy() for name, one in network(inputs, training=False).items()} for network in (model, folded)
    )
    assert (expected["class_ids"] >= 0).any()
    np.testing.assert_array_equal(found["class_ids"], expected["class_ids"])
    np.testing.assert_allclose(found["boxes"], expected["boxes"], atol=1e-2)
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-4)


def test_group_norms_stay_and_precision_is_of_the_copy_alone():
    model = random_model(backbone_norm="group", norm_groups=4)
    assert fold_norms(model) is model
    half = fold_norms(model, "mixed_bfloat16")
    assert half.get_layer("backbone").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32" and len(half.weights) == len(model.weights)
    np.testing.assert_array_equal(half.weights[0], model.weights[0])


@pytest.mark.parametrize("of_the_session", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("of_the_model", ["float32", "mixed_bfloat16"])
def test_precision_is_the_one_asked_for_whatever_the_session_s_is(of_the_session, of_the_model):
    """The model may have been made before the policy was changed."""
    try:
        keras.config.set_dtype_policy(of_the_model)
        model = MaskRCNN(TINY)
        keras.config.set_dtype_policy(of_the_session)
        folded = fold_norms(model, "float32")
        assert folded.get_layer("backbone").compute_dtype == "float32"
        assert (folded is model) == (of_the_model == "float32")
        assert keras.config.dtype_policy().name == of_the_session
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(folded.weights[0], model.weights[0])
