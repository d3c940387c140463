"""A loss that is not finite stops training before it touches a weight."""

import re

import tensorflow as tf

MARK = "mrcnn_keras non-finite loss"


class NonFiniteLossError(ArithmeticError):
    """A training loss or gradient became infinite or NaN.

    Attributes:
        images: names of the images of that batch.
        losses: the loss parts by name.
    """

    def __init__(self, images: list[str], losses: dict[str, float]):
        self.images = images
        self.losses = losses
        parts = ", ".join(f"{name} {value:g}" for name, value in losses.items())
        super().__init__(
            f"the training loss is not finite ({parts}) on the batch of images {', '.join(images)}. The weights are "
            "those from before this batch. Look at these images' annotations, lower the learning rate, lengthen the "
            "warm-up, or set gradient_clip_norm"
        )


def assert_finite(losses: dict[str, tf.Tensor], gradients: list[tf.Tensor], image_index: tf.Tensor) -> tf.Operation:
    """An op that fails unless every loss and gradient is finite.

    Args:
        losses: () float32 each.
        gradients: any shapes; may be none.
        image_index: (B,) integer, named in the error.
    """
    finite = tf.reduce_all([tf.math.is_finite(value) for value in losses.values()])
    if gradients:
        finite &= tf.math.is_finite(tf.linalg.global_norm(gradients))
    template = "; ".join([f"{MARK} on images {{}}", *(f"{name} {{}}" for name in losses)])
    told = tf.strings.format(template, [image_index, *losses.values()], summarize=-1)
    return tf.debugging.Assert(finite, [told])


def explain(message: str, name_of_image) -> NonFiniteLossError | None:
    """The error that a failed `assert_finite` stands for, from TensorFlow's message; None for other messages.

    Args:
        message: of the `tf.errors.InvalidArgumentError`.
        name_of_image: function from an index of the batch's `image_index` to a name.
    """
    found = re.search(rf"{MARK} on images \[([^\]]*)\]((?:; \w+ [^\s;\]']+)*)", message)
    if found is None:
        return None
    images, losses = found.groups()
    pairs = [part.split() for part in losses.split(";")[1:]]
    return NonFiniteLossError(
        [name_of_image(int(index)) for index in images.split()], {name: float(value) for name, value in pairs}
    )
