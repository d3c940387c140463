"""Stochastic gradient descent as the paper's systems define it."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

_SPARED = "_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"


@keras.saving.register_keras_serializable("mrcnn_keras", name="L2SGD")
class SGD(keras.optimizers.SGD):
    """SGD with momentum whose weight decay is an L2 term of the loss, and spares norms and biases (section 3.1).

    Keras' own `weight_decay` shrinks the weights beside the momentum; Caffe2 and PyTorch add it to the gradient, so
    that momentum acts on it too. This one does what they do.

    Args:
        learning_rate: a number or a schedule.
        momentum: in [0, 1].
        l2_decay: factor of the weights that is added to their gradient; vectors (norms, biases) have none.
        **kwargs: as `keras.optimizers.SGD`.
    """

    def __init__(self, learning_rate=0.02, momentum=0.9, l2_decay=1e-4, name="sgd", **kwargs):
        super().__init__(learning_rate=learning_rate, momentum=momentum, name=name, **kwargs)
        self.l2_decay = l2_decay

    def update_step(self, gradient, variable, learning_rate):
        if self.l2_decay and len(variable.shape) > 1:
            gradient = ops.add(gradient, ops.multiply(ops.cast(variable, gradient.dtype), self.l2_decay))
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        return {**super().get_config(), "l2_decay": self.l2_decay}


def anew(optimizer: Any) -> Callable[[], Any]:
    """A function that makes optimizers like a given one, without its state; what is no optimizer it returns."""
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        return lambda: optimizer
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        inner, scale, growth = anew(optimizer.inner_optimizer), optimizer.initial_scale, optimizer.dynamic_growth_steps
        return lambda: keras.optimizers.LossScaleOptimizer(inner(), scale, growth)
    rate = optimizer._learning_rate
    config = {**optimizer.get_config(), "learning_rate": float(rate) if isinstance(rate, keras.Variable) else rate}
    # What `exclude_from_weight_decay` has said is not in the config.
    spared = {name: getattr(optimizer, name) for name in _SPARED if hasattr(optimizer, name)}

    def make() -> keras.optimizers.Optimizer:
        made = type(optimizer).from_config(dict(config))
        for name, value in spared.items():
            setattr(made, name, value)
        return made

    return make
