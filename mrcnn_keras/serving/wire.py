"""Images in the form that the served model reads: JPEG or PNG files."""

import io
import os
import pathlib
from typing import Any

import numpy as np

from mrcnn_keras.data.images import image_file_orientation, image_file_size, read_image
from mrcnn_keras.serving.orientation import PNG, served_orientation

# How files begin that the server decodes: JPEG, PNG.
_SERVED = b"\xff\xd8\xff", PNG


def encode(image: Any) -> tuple[bytes, tuple[int, int]]:
    """A JPEG or PNG file as it is, if the server turns it as `read_image` does; all else as PNG, which loses nothing.

    Args:
        image: what `read_image` takes: path, bytes of a file, PIL image, or array.

    Returns:
        The file's bytes, and the image's (height, width) in pixels, upright.

    Raises:
        ValueError: not a readable image; the message names the file.
    """
    if isinstance(image, (str, os.PathLike, bytes, bytearray)):
        image = bytes(image) if isinstance(image, bytearray) else image
        size = image_file_size(image)  # first: it says what is wrong with a file
        content = image if isinstance(image, bytes) else pathlib.Path(image).read_bytes()
        if content.startswith(_SERVED) and served_orientation(content) == image_file_orientation(image):
            return content, size
    pixels = read_image(image)
    return _png(pixels), pixels.shape[:2]


def name_of(image: Any, number: int) -> str:
    """What to call an image in a message: its path, or its place in the list, counted from 0."""
    if isinstance(image, (str, os.PathLike)):
        return os.fspath(image)
    return f"number {number} of the list, given as {type(image).__name__}"


def _png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)  # the fastest; higher ones save little
    return buffer.getvalue()
