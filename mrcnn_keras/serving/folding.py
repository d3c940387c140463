"""A model for inference alone: what its norms do is part of its convolutions."""

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from mrcnn_keras.layers.conv_norm import ConvNorm
from mrcnn_keras.layers.norm import BatchNorm
from mrcnn_keras.utils.keras_policy import keras_dtype_policy

# Norms that are a scale and a shift at inference.
_FOLDED = ("frozen", "batch", "sync_batch")
_FIELDS = ("backbone_norm", "fpn_norm", "head_norm")


def fold_norms(model: Any, precision: str = "float32") -> Any:
    """A `MaskRCNN` that detects what `model` does, its batch norms folded into kernels and biases.

    Args:
        model: `MaskRCNN`.
        precision: Keras dtype policy of the copy, whatever the model's is.

    Returns: the copy, not compiled and not for training; the model itself where nothing is to be done.
    """
    config = model.config
    changes = {name: "none" for name in _FIELDS if getattr(config, name) in _FOLDED}
    if not changes and model.get_layer("backbone").compute_dtype == keras.dtype_policies.get(precision).compute_dtype:
        return model
    with keras_dtype_policy(precision):
        folded = type(model)(config.replace(**changes))
    taken: set[int] = set()
    for own, given in zip(_conv_norms(folded), _conv_norms(model), strict=True):
        if own.norm is None and isinstance(given.norm, BatchNorm):
            _fold(own, given)
            taken.update(id(weight) for weight in own.weights)
    given = {weight.path: weight for weight in model.weights}
    for weight in folded.weights:
        if id(weight) not in taken:
            weight.assign(given[weight.path])
    return folded


def _conv_norms(model: Any) -> Iterator[ConvNorm]:
    return (layer for layer in model._flatten_layers() if isinstance(layer, ConvNorm))


def _fold(own: ConvNorm, given: ConvNorm) -> None:
    scale, shift = given.norm.scale_and_shift()
    if given.bias is not None:
        shift += scale * tf.convert_to_tensor(given.bias)
    own.kernel.assign(tf.convert_to_tensor(given.kernel) * scale)
    own.bias.assign(shift)
