"""The mask head of fully connected layers that table 2e compares with."""

import keras
import tensorflow as tf

from ..layers.conv_norm import conv_initializer
from .mask_predictor import maps_of, mask_classes, mask_spec, own_mask


@keras.saving.register_keras_serializable("mrcnn_keras")
class MaskMLPHead(keras.layers.Layer):
    """Fully connected layers, the last of which gives the masks of all classes, as in DeepMask (table 2e, "MLP").

    Args:
        num_classes: object classes.
        units: of every hidden layer.
        num_fcs: hidden layers.
        class_agnostic: one mask for all classes.
        kind: "sigmoid" or "softmax" masks.

    Inputs: (R, P, P, C) and class_ids (R,) int32 (-1 is taken as 0). Returns: (R, 2P, 2P) float32 logits, or for
    "softmax" (R, 2P, 2P, 2) log-probabilities of the class and of the background.
    """

    def __init__(self, num_classes=80, units=1024, num_fcs=2, class_agnostic=False, kind="sigmoid", **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.units = units
        self.num_fcs = num_fcs
        self.class_agnostic = class_agnostic
        self.kind = kind
        self.fcs = [
            keras.layers.Dense(units, "relu", kernel_initializer=conv_initializer("xavier"), name=f"fc{i + 1}")
            for i in range(num_fcs)
        ]

    def build(self, inputs_shape, class_ids_shape=None):
        self.sides = 2 * inputs_shape[1], 2 * inputs_shape[2]
        maps = maps_of(1 if self.class_agnostic else self.num_classes, self.kind)
        normal = keras.initializers.RandomNormal(stddev=0.001)
        units = self.sides[0] * self.sides[1] * maps
        self.predictor = keras.layers.Dense(units, kernel_initializer=normal, name="predictor")
        width = inputs_shape[1] * inputs_shape[2] * inputs_shape[3]
        for layer in (*self.fcs, self.predictor):
            layer.build((None, width))
            width = layer.units
        self.built = True

    def call(self, inputs, class_ids):
        outputs = tf.reshape(inputs, [-1, inputs.shape[1] * inputs.shape[2] * inputs.shape[3]])
        for layer in self.fcs:
            outputs = layer(outputs)
        outputs = self.predictor(outputs)
        maps = tf.reshape(outputs, [-1, *self.sides, outputs.shape[1] // (self.sides[0] * self.sides[1])])
        return tf.cast(own_mask(maps, mask_classes(class_ids, self.class_agnostic), self.kind), tf.float32)

    def compute_output_spec(self, inputs, class_ids):
        rows, height, width = inputs.shape[:3]
        return mask_spec((rows, 2 * height, 2 * width), self.kind)

    def get_config(self):
        names = ("num_classes", "units", "num_fcs", "class_agnostic", "kind")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
