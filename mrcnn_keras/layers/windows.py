"""Where in the padded input boxes may lie."""

import keras
import tensorflow as tf

from .float32 import Float32Layer


@keras.saving.register_keras_serializable("mrcnn_keras")
class ImageWindows(Float32Layer):
    """The windows that proposals and detections are clipped to.

    Args:
        square: matterport's layout: the image lies in the middle of the padded input and proposals may reach into the
            padding. Otherwise the image lies at the top left and nothing leaves it.
        inclusive: corners are whole pixels that belong to the box, as matterport counts: an image of width W ends at
            W - 1.

    Inputs: images (B, H, W, 3), padded, and image_sizes (B, 2) float32 [height, width] of the part that is no padding.
    Returns: windows of the proposals and of the detections, (B, 4) float32 xyxy each.
    """

    def __init__(self, square=False, inclusive=False, **kwargs):
        super().__init__(**kwargs)
        self.square = square
        self.inclusive = inclusive
        self.built = True

    def call(self, images, image_sizes):
        end = tf.reverse(tf.cast(image_sizes, tf.float32), axis=[1])
        start = tf.zeros_like(end)
        last = 1.0 if self.inclusive else 0.0
        if not self.square:
            window = tf.concat([start, end - last], axis=1)
            return window, window
        frame = tf.broadcast_to(tf.cast(tf.shape(images)[2:0:-1], tf.float32), tf.shape(end))
        corner = tf.floor((frame - end) / 2.0)
        return tf.concat([start, frame - last], axis=1), tf.concat([corner, corner + end - last], axis=1)

    def compute_output_spec(self, images, image_sizes):
        window = keras.KerasTensor((images.shape[0], 4), dtype="float32")
        return window, keras.KerasTensor((images.shape[0], 4), dtype="float32")

    def get_config(self):
        return {**super().get_config(), "square": self.square, "inclusive": self.inclusive}


@keras.saving.register_keras_serializable("mrcnn_keras")
class InclusiveBoxes(Float32Layer):
    """Boxes whose right and bottom edges are the last pixels inside, from boxes with continuous edges.

    Inputs and returns: (..., 4) xyxy; padding rows of zeros stay empty.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def call(self, boxes):
        return boxes - tf.constant([0.0, 0.0, 1.0, 1.0])

    def compute_output_shape(self, boxes_shape):
        return boxes_shape


@keras.saving.register_keras_serializable("mrcnn_keras")
class ContinuousBoxes(Float32Layer):
    """Undoes `InclusiveBoxes` for detections.

    Inputs: boxes (B, D, 4) xyxy and class_ids (B, D), -1 for padding. Returns: (B, D, 4); padding stays zero.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def call(self, boxes, class_ids):
        return tf.where(class_ids[..., None] >= 0, boxes + tf.constant([0.0, 0.0, 1.0, 1.0]), boxes)

    def compute_output_shape(self, boxes_shape, class_ids_shape=None):
        return boxes_shape
