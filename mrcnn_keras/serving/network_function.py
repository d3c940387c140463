"""The network as a function of pixels, for formats that hold nothing else."""

from collections.abc import Sequence
from typing import Any

_DTYPES = ("uint8", "float32")


def image_dtype_for(config: Any, asked: str | None) -> str:
    """Type of the pixels that an exported network takes.

    Args:
        config: `MaskRCNNConfig`.
        asked: "uint8" or "float32"; None: what `detect` gives to the network, uint8 but float32 with torchvision's
            resize.

    Raises:
        ValueError: another type is asked for.
    """
    asked = asked or ("float32" if config.resize == "torchvision" else "uint8")
    if asked not in _DTYPES:
        raise ValueError(f"image_dtype={asked!r}: expected {' or '.join(map(repr, _DTYPES))}")
    return asked


def fixed_input_size(config: Any, asked: Sequence[int] | None) -> tuple[int, int]:
    """(height, width) of a network that takes one size only.

    Args:
        config: `MaskRCNNConfig`.
        asked: multiples of `size_divisor`; None: a square of `image_max_side`, rounded up to such a multiple.

    Raises:
        ValueError: another size is asked for.
    """
    divisor = config.size_divisor
    if asked is None:
        side = -(-config.image_max_side // divisor) * divisor
        return side, side
    if len(asked) != 2 or any(side < 1 or side % divisor for side in asked):
        raise ValueError(f"input_size={asked}: expected (height, width), multiples of {divisor}")
    return tuple(asked)


def network_function(
    model: Any, image_dtype: str, shape: Sequence[int | None] = (None, None, None), jit_compile: bool = False
) -> tuple[Any, list]:
    """The inference graph as a function of `images` and `image_sizes`.

    Args:
        model: `MaskRCNN`.
        image_dtype: of `images`.
        shape: batch, height and width of `images`; None where they vary.
        jit_compile: whether it is for XLA.

    Returns:
        A `tf.function` that returns the network's outputs by name, and a `tf.TensorSpec` of each argument.
    """
    import tensorflow as tf

    @tf.function(autograph=False, jit_compile=jit_compile or None)
    def network(images: tf.Tensor, image_sizes: tf.Tensor) -> dict[str, tf.Tensor]:
        return model({"images": tf.cast(images, tf.float32), "image_sizes": image_sizes}, training=False)

    images = tf.TensorSpec([*shape, 3], image_dtype, "images")
    return network, [images, tf.TensorSpec([shape[0], 2], tf.float32, "image_sizes")]
