"""Layers that mixed precision leaves alone."""

import keras


@keras.saving.register_keras_serializable("mrcnn_keras")
class Float32Layer(keras.layers.Layer):
    """The base of layers on boxes, scores and losses: they compute in float32 under any dtype policy.

    Coordinates of large images need more than the 8 or 11 bits of bfloat16 and float16, and so do sums over many RoIs.
    What comes in another precision is cast.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
