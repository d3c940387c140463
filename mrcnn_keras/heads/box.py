"""The box head: class scores and box regression of a RoI (FPN, section 4.2)."""

import keras
import tensorflow as tf

from ..layers.conv_norm import ConvNorm, conv_initializer
from ..layers.normed import NormedLayer


@keras.saving.register_keras_serializable("mrcnn_keras")
class BoxHead(NormedLayer):
    """Convolutions (if any), fully connected layers with ReLU, then a classifier and a regressor.

    Args:
        num_classes: object classes; the classifier has one more output, the background, last.
        num_convs, conv_channels: 3x3 convolutions before the fully connected layers.
        num_fcs, fc_units: fully connected layers (2 x 1024 in the paper's FPN head).
        class_agnostic: one box for all classes.
        fc_norm: norm of the fully connected layers, as `norm` is of the convolutions.
        pool: "flatten" gives all cells to the first fully connected layer, "mean" averages them (C4 models).
        norm, norm_momentum, norm_epsilon, norm_groups, norm_bias: of the convolutions.

    Inputs: (R, P, P, C). Returns: class_logits (R, num_classes + 1) and box_deltas (R, 4 * num_classes), or (R, 4)
    when class-agnostic, both float32.
    """

    def __init__(
        self,
        num_classes=80,
        num_convs=0,
        conv_channels=256,
        num_fcs=2,
        fc_units=1024,
        class_agnostic=False,
        fc_norm="none",
        pool="flatten",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.num_convs = num_convs
        self.conv_channels = conv_channels
        self.num_fcs = num_fcs
        self.fc_units = fc_units
        self.class_agnostic = class_agnostic
        self.fc_norm = fc_norm
        self.pool = pool
        every = self.norm_arguments
        self.convs = [ConvNorm(conv_channels, 3, relu=True, name=f"conv{i + 1}", **every) for i in range(num_convs)]
        self.fcs = [_hidden(fc_units, f"fc{i + 1}", {**every, "norm": fc_norm}) for i in range(num_fcs)]
        self.classifier = _predictor(num_classes + 1, 0.01, "classifier")
        self.regressor = _predictor(4 if class_agnostic else 4 * num_classes, 0.001, "regressor")

    def build(self, input_shape):
        shape = input_shape
        for conv in self.convs:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
        units = shape[3] if self.pool == "mean" else shape[1] * shape[2] * shape[3]
        for layer in self.fcs:
            layer.build((None, units) if self.fc_norm == "none" else (None, 1, 1, units))
            units = self.fc_units
        self.classifier.build((None, units))
        self.regressor.build((None, units))
        self.built = True

    def call(self, inputs, training=None):
        outputs = inputs
        for conv in self.convs:
            outputs = conv(outputs, training=training)
        if self.pool == "mean":
            outputs = tf.reduce_mean(outputs, axis=[1, 2])
        else:
            outputs = tf.reshape(outputs, [-1, outputs.shape[1] * outputs.shape[2] * outputs.shape[3]])
        for layer in self.fcs:
            if self.fc_norm == "none":
                outputs = layer(outputs)
            else:
                outputs = layer(outputs[:, None, None, :], training=training)[:, 0, 0, :]
        return tf.cast(self.classifier(outputs), tf.float32), tf.cast(self.regressor(outputs), tf.float32)

    def compute_output_spec(self, inputs, training=None):
        rows = inputs.shape[0]
        return (
            keras.KerasTensor((rows, self.classifier.units), dtype="float32"),
            keras.KerasTensor((rows, self.regressor.units), dtype="float32"),
        )

    def get_config(self):
        names = "num_classes num_convs conv_channels num_fcs fc_units class_agnostic fc_norm pool".split()
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own}


def _hidden(units: int, name: str, norm: dict) -> keras.layers.Layer:
    if norm["norm"] != "none":  # a 1x1 convolution of one cell is a fully connected layer that can take a norm
        return ConvNorm(units, 1, relu=True, kernel_initializer="xavier", name=name, **norm)
    return keras.layers.Dense(units, activation="relu", kernel_initializer=conv_initializer("xavier"), name=name)


def _predictor(units: int, stddev: float, name: str) -> keras.layers.Dense:
    normal = keras.initializers.RandomNormal(stddev=stddev)
    return keras.layers.Dense(units, kernel_initializer=normal, name=name)
