"""Pixels to network input."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("mrcnn_keras")
class NormalizeImages(keras.layers.Layer):
    """Subtracts the pixel mean, divides by the standard deviation and sets the padding to exactly zero.

    Args:
        mean, std: three numbers each, RGB on the 0..255 scale.
        zero_padding: False leaves the padding as it is given, black before the mean is subtracted.

    Inputs: images (B, H, W, 3) 0..255; image_sizes (B, 2) float32, [height, width] of the part that is no padding.
    Returns: (B, H, W, 3) in the compute dtype.
    """

    def __init__(self, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), zero_padding=True, **kwargs):
        # Sizes of images would lose their last digits in the compute dtype.
        super().__init__(autocast=False, **kwargs)
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.zero_padding = zero_padding
        self.built = True

    def call(self, images, image_sizes):
        images = tf.cast(images, tf.float32)
        normalised = (images - tf.constant(self.mean)) / tf.constant(self.std)
        if not self.zero_padding:
            return tf.cast(normalised, self.compute_dtype)
        shape = tf.shape(images)
        rows = tf.range(shape[1], dtype=tf.int32)[None, :, None, None]
        columns = tf.range(shape[2], dtype=tf.int32)[None, None, :, None]
        sizes = tf.cast(image_sizes, tf.int32)[:, :, None, None, None]
        inside = (rows < sizes[:, 0]) & (columns < sizes[:, 1])
        return tf.cast(tf.where(inside, normalised, 0.0), self.compute_dtype)

    def compute_output_shape(self, images_shape, image_sizes_shape=None):
        return images_shape

    def get_config(self):
        return {**super().get_config(), "mean": self.mean, "std": self.std, "zero_padding": self.zero_padding}
