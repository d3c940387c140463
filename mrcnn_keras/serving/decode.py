"""JPEG and PNG files to upright RGB images as Pillow decodes them, in stock TensorFlow operations."""

import tensorflow as tf

from mrcnn_keras.serving.exif import jpeg_orientation, png_orientation, turn_upright
from mrcnn_keras.serving.orientation import PNG


def decode_image(encoded: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """An image file as it should be seen.

    EXIF orientation is applied; grey and palettes become RGB, alpha is dropped, 16 bits are cut to 8.

    Args:
        encoded: () string.
        max_pixels: height times width that is decoded at most.

    Returns: (H, W, 3) uint8.

    Raises (when it runs):
        tf.errors.InvalidArgumentError: the file is neither JPEG nor PNG, damaged, or its header declares more pixels.
    """
    is_jpeg = tf.strings.substr(encoded, 0, 3) == b"\xff\xd8\xff"
    is_png = tf.strings.substr(encoded, 0, len(PNG)) == PNG
    known = tf.debugging.Assert(is_jpeg | is_png, ["image_bytes: expected a JPEG or PNG file, got one that begins with",
                                                   tf.strings.substr(encoded, 0, 8)])  # fmt: skip
    with tf.control_dependencies([known]):
        data = tf.io.decode_raw(encoded, tf.uint8)
    size, orientation = tf.cond(
        is_jpeg,
        lambda: (tf.io.extract_jpeg_shape(encoded)[:2], jpeg_orientation(data)),
        lambda: (_png_size(encoded), png_orientation(data)),
    )
    pixels = tf.reduce_prod(tf.cast(size, tf.float64))
    bounded = tf.debugging.Assert(
        pixels <= max_pixels,
        ["image_bytes: the file declares an image of height and width", size, f"and at most {max_pixels} pixels are "
         "decoded here; make it smaller, or export the model with a larger max_pixels"],
    )  # fmt: skip
    with tf.control_dependencies([bounded]):
        checked = tf.identity(encoded)
    image = tf.cond(
        is_jpeg,
        lambda: tf.io.decode_jpeg(checked, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_png(checked, channels=3),
    )
    return turn_upright(tf.ensure_shape(image, [None, None, 3]), orientation)


def _png_size(encoded: tf.Tensor) -> tf.Tensor:
    """(2,) int32 height and width that the header declares."""
    whole = tf.debugging.Assert(tf.strings.length(encoded) >= 24, ["image_bytes: a PNG file that ends in its header"])
    with tf.control_dependencies([whole]):
        kind = tf.strings.substr(encoded, 12, 4)
    # The decoder passes over chunks before the header, and what they hold is no size.
    first = tf.debugging.Assert(
        kind == b"IHDR", ["image_bytes: a PNG file that begins with", kind, "and not with IHDR"]
    )
    with tf.control_dependencies([first]):
        sides = tf.io.decode_raw(tf.strings.substr(encoded, 16, 8), tf.int32, little_endian=False)
    return tf.reverse(sides, [0])
