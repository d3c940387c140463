"""Image files decoded in the served graph, against Pillow."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mrcnn_keras.data.images import read_image
from mrcnn_keras.serving.decode import decode_image

LIMIT = 5000
ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def decode():
    signature = [tf.TensorSpec([], tf.string)]
    return tf.function(lambda data: decode_image(data, LIMIT), input_signature=signature, autograph=False)


def photo(mode="RGB", size=(61, 43)):
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 255, (7, 9, 3), np.uint8)).resize(size, Image.BICUBIC).convert(mode)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation, kind="JPEG", **tags):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010E] = "a description before it"
    return encoded(photo(), kind, exif=exif)


def deep_png(channels, bits=16):
    """A PNG of 16 bits a channel, which Pillow cannot write."""
    rng = np.random.default_rng(1)
    rows = b"".join(b"\0" + rng.integers(0, 65536, 6 * channels).astype(">u2").tobytes() for _ in range(5))
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    parts = {b"IHDR": struct.pack(">IIBBBBB", 6, 5, bits, kind, 0, 0, 0), b"IDAT": zlib.compress(rows), b"IEND": b""}
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts.items()]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(10))
def test_photos_are_upright(decode, orientation, kind):
    data = turned(orientation, kind)
    np.testing.assert_array_equal(decode(data), read_image(data))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16"])
def test_png_files_of_all_modes(decode, mode):
    data = encoded(photo("L").convert("I").point(lambda value: value * 251).convert("I;16"), "PNG")
    if mode != "I;16":
        data = encoded(photo(mode), "PNG")
    np.testing.assert_array_equal(decode(data), read_image(data))


@pytest.mark.parametrize(
    "data",
    [
        *(deep_png(channels) for channels in (1, 2, 3, 4)),
        encoded(photo("P"), "PNG", transparency=3),
        encoded(photo("L"), "JPEG"),
        encoded(photo("CMYK"), "JPEG"),
        encoded(photo(), "JPEG", progressive=True, quality=40),
        encoded(photo(), "JPEG", subsampling=0),
        encoded(photo(size=(1, 1)), "PNG"),
    ],
)
def test_other_files(decode, data):
    np.testing.assert_array_equal(decode(data), read_image(data))


def _declaring(kind, height, width):
    data = bytearray(encoded(photo(), kind))
    if kind == "PNG":
        data[16:24] = struct.pack(">II", width, height)
    else:
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


JPEG, PNG = encoded(photo(), "JPEG"), encoded(photo(), "PNG")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a JPEG or PNG file"),
        (b"a text file, for instance", "begins with.*a text f"),
        (encoded(photo("P"), "GIF"), "expected a JPEG or PNG file"),
        (JPEG[:20], "Invalid JPEG data"),
        (JPEG[: len(JPEG) // 2], "Invalid JPEG data"),
        (PNG[:12], "ends in its header"),
        (PNG[: len(PNG) // 2], "Invalid PNG data"),
        (_declaring("JPEG", 60000, 50000), r"declares an image of height and width\] \[60000 50000\].*at most 5000"),
        (_declaring("PNG", 60000, 50000), r"declares an image of height and width\] \[60000 50000\].*at most 5000"),
        (encoded(photo(size=(100, 51)), "PNG"), r"\[51 100\]"),
    ],
)
def test_files_that_cannot_be(decode, data, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode(data)
    np.testing.assert_array_equal(decode(JPEG), read_image(JPEG))


def test_damaged_tags_never_harm(decode):
    """Whatever is in the tags, the pixels come, as Pillow turns them or as the undamaged tags would."""
    rng = np.random.default_rng(2)
    agree = 0
    for _ in range(60):
        whole = turned(int(rng.integers(1, 9)))
        data = bytearray(whole)
        data[data.index(b"Exif") + 6 + int(rng.integers(0, 60))] = int(rng.integers(0, 256))
        found = decode(bytes(data)).numpy()
        agree += np.array_equal(found, read_image(bytes(data)))
        assert any(np.array_equal(found, read_image(one)) for one in (bytes(data), whole))
    assert agree > 50  # Pillow stops at a damaged tag before the orientation's
