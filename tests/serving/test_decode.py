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
from mrcnn_keras.serving.exif import jpeg_orientation, png_orientation
from mrcnn_keras.serving.orientation import served_orientation
from mrcnn_keras.serving.wire import encode

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


def disguised():
    """A PNG file with a chunk before its header, which reads as a size of 1 x 1; the image is larger than the limit."""
    data, chunk = encoded(photo(size=(100, 100)), "PNG"), b"prVt" + struct.pack(">II", 1, 1)
    return data[:8] + struct.pack(">I", 8) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[8:]


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
        (disguised(), "begins with.*prVt.*not with IHDR"),
    ],
)
def test_files_that_cannot_be(decode, data, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode(data)
    np.testing.assert_array_equal(decode(JPEG), read_image(JPEG))


@pytest.mark.filterwarnings("ignore:(Corrupt EXIF data|Tag data larger than file|Truncated File Read)")
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_damaged_tags_never_harm(decode, kind):
    """Whatever is in the tags, the server sees what the client sends as Pillow sees the file."""
    rng = np.random.default_rng(2)
    untouched = 0
    for _ in range(60):
        data = damaged(turned(int(rng.integers(1, 9)), kind), kind, 4 + int(rng.integers(0, 60)), rng.integers(0, 256))
        expected = read_image(data)
        sent, size = encode(data)
        untouched += sent == data
        np.testing.assert_array_equal(decode(sent), expected)
        assert size == expected.shape[:2]
    assert 40 < untouched < 60  # Pillow stops at a damaged tag before the orientation's


def damaged(data, kind, place, value):
    """Another byte in the EXIF data, with the checksum that a PNG has for them."""
    data, start = bytearray(data), data.index(b"Exif" if kind == "JPEG" else b"eXIf")
    data[start + place] = value
    if kind == "PNG":
        end = start + 4 + int.from_bytes(data[start - 4 : start], "big")
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[start:end]))
    return bytes(data)


@pytest.fixture(scope="module")
def orientations():
    """Kind of file -> the graph's function from its bytes to its orientation."""
    signature = [tf.TensorSpec([None], tf.uint8)]
    return {
        kind: tf.function(function, input_signature=signature, autograph=False)
        for kind, function in (("JPEG", jpeg_orientation), ("PNG", png_orientation))
    }


@pytest.mark.parametrize(("kind", "mark"), [("JPEG", b"Exif"), ("PNG", b"eXIf")])
def test_the_client_knows_how_the_graph_turns(orientations, kind, mark):
    """The rule is written twice, once in TensorFlow."""
    rng = np.random.default_rng(3)
    seen = set()
    for number in range(300):
        data = bytearray(turned(int(rng.integers(1, 9)), kind))
        place = data.index(mark)
        for _ in range(number % 4):
            data[place + int(rng.integers(-8, 60))] = int(rng.choice([0, 1, 2, 3, 4, 12, 255, rng.integers(0, 256)]))
        data = bytes(data[: place + int(rng.integers(0, 100))]) if number % 5 == 0 else bytes(data)
        seen.add(served_orientation(data))
        assert int(orientations[kind](np.frombuffer(data, np.uint8))) == served_orientation(data)
    assert seen == set(range(1, 9))


def test_a_search_for_the_orientation_ends_soon(orientations):
    """A megabyte of anything before the tags keeps the server busy for a thousand steps or so, not for a million."""
    photo, chart = turned(6), turned(6, "PNG")
    empty_segment, empty_chunk = b"\xff\xe0\0\2", struct.pack(">I4sI", 0, b"teSt", 0)
    for kind, file, start, padding, expected in (
        ("JPEG", photo, 2, b"\xff" * 2**20, 6),  # fill bytes are passed over
        ("JPEG", photo, 2, b"\xff" * 2**17 + empty_segment + b"\xff" * 70_000, 6),
        ("JPEG", photo, 2, empty_segment * 1000, 6),
        ("JPEG", photo, 2, empty_segment * 1024, 1),
        ("JPEG", photo, 2, empty_segment * 2**18, 1),
        ("JPEG", photo[:2], 2, b"\xff" * 2**20, 1),
        ("PNG", chart, 8, empty_chunk * 4000, 6),
        ("PNG", chart, 8, empty_chunk * 4096, 1),
        ("PNG", chart, 8, empty_chunk * 2**17, 1),
    ):
        padded = file[:start] + padding + file[start:]
        assert int(orientations[kind](np.frombuffer(padded, np.uint8))) == served_orientation(padded) == expected
