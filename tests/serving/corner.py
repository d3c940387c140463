"""A stand-in for a model, whose SavedModel is written, loaded and run within a few seconds."""

import types

import tensorflow as tf

from .tiny import TINY


class Corner:
    """Stands in for a model: finds one object, the upper left quarter of the image, in an image lighter than 100."""

    config = TINY.replace(image_min_side=32, image_max_side=64, max_detections=4)

    def __init__(self):
        self.factor = tf.Variable(0.5)
        self.variables = [types.SimpleNamespace(value=self.factor)]

    def get_layer(self, name):
        return types.SimpleNamespace(compute_dtype="float32")

    def __call__(self, inputs, training):
        height, width = tf.unstack(inputs["image_sizes"] * self.factor, axis=1)
        light = tf.reduce_max(inputs["images"], axis=(1, 2, 3)) > 100
        boxes = tf.stack([tf.zeros_like(width), tf.zeros_like(width), width, height], axis=-1)[:, None]
        ids = tf.where(light, 2, -1)[:, None]
        return {"boxes": boxes, "scores": tf.ones_like(boxes[..., 0]), "class_ids": ids}
