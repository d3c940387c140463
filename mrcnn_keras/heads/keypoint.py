"""The keypoint head (section 5, "Implementation Details")."""

import keras
import tensorflow as tf

from ..layers.conv_norm import ConvNorm, conv_initializer

UPSAMPLING = 4  # cells of the heat-maps to one of the features


@keras.saving.register_keras_serializable("mrcnn_keras")
class KeypointHead(keras.layers.Layer):
    """3x3 convolutions, a 4x4 deconvolution with stride 2 to one map a keypoint, and bilinear upsampling by two.

    Args:
        num_keypoints: maps in the result.
        channels: of every convolution.
        num_convs: 3x3 convolutions (8 x 512 in the paper).

    Inputs: (R, P, P, C). Returns: (R, 4P, 4P, num_keypoints) float32 logits; a softmax over the cells of a map gives
    the probability that the keypoint lies there.
    """

    def __init__(self, num_keypoints=17, channels=512, num_convs=8, **kwargs):
        super().__init__(**kwargs)
        self.num_keypoints = num_keypoints
        self.channels = channels
        self.num_convs = num_convs
        self.convs = [ConvNorm(channels, 3, relu=True, name=f"conv{i + 1}") for i in range(num_convs)]
        self.deconv = keras.layers.Conv2DTranspose(
            num_keypoints, 4, strides=2, padding="same", kernel_initializer=conv_initializer("msra"), name="deconv"
        )

    def build(self, input_shape):
        shape = input_shape
        for conv in self.convs:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
        self.deconv.build(shape)
        self.built = True

    def call(self, inputs, training=None):
        outputs = inputs
        for conv in self.convs:
            outputs = conv(outputs, training=training)
        outputs = tf.cast(self.deconv(outputs), tf.float32)
        return tf.image.resize(outputs, [UPSAMPLING * inputs.shape[1], UPSAMPLING * inputs.shape[2]])

    def compute_output_spec(self, inputs, training=None):
        rows, height, width = inputs.shape[:3]
        sides = UPSAMPLING * height, UPSAMPLING * width
        return keras.KerasTensor((rows, *sides, self.num_keypoints), dtype="float32")

    def get_config(self):
        own = {name: getattr(self, name) for name in ("num_keypoints", "channels", "num_convs")}
        return {**super().get_config(), **own}
