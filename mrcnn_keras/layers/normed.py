"""What layers made of several convolutions have in common: one norm for all of them."""

import keras

NORM_ARGUMENTS = ("norm", "norm_momentum", "norm_epsilon", "norm_groups", "norm_bias")


@keras.saving.register_keras_serializable("mrcnn_keras")
class NormedLayer(keras.layers.Layer):
    """A layer whose `ConvNorm`s share their norm; `self.norm_arguments` are theirs, and saved with the layer's own.

    Args:
        norm, norm_momentum, norm_epsilon, norm_groups, norm_bias: as in `ConvNorm`.
    """

    def __init__(self, norm="none", norm_momentum=0.9, norm_epsilon=1e-5, norm_groups=32, norm_bias=False, **kwargs):
        super().__init__(**kwargs)
        values = (norm, norm_momentum, norm_epsilon, norm_groups, norm_bias)
        self.norm_arguments = dict(zip(NORM_ARGUMENTS, values))

    def get_config(self):
        return {**super().get_config(), **self.norm_arguments}
