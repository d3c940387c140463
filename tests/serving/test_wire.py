"""What goes over the wire: files as they are where the server reads them as Pillow does."""

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mrcnn_keras.data import read_image
from mrcnn_keras.serving.orientation import served_orientation
from mrcnn_keras.serving.wire import encode, name_of

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 17, 3), np.uint8)


def file_of(mode, form, orientation=None):
    buffer, exif = io.BytesIO(), Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.fromarray(PIXELS).convert(mode).save(buffer, form, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "mode, form", [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("RGBA", "PNG"), ("P", "PNG")]
)
def test_jpeg_and_png_files_go_as_they_are(mode, form, tmp_path):
    file = file_of(mode, form)
    (tmp_path / "image").write_bytes(file)
    for source in (file, bytearray(file), tmp_path / "image", str(tmp_path / "image")):
        assert encode(source) == (file, (12, 17))


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_turned_file_goes_as_it_is_with_its_upright_size(form):
    file = file_of("RGB", form, orientation=6)
    assert encode(file) == (file, (17, 12))


def with_xmp(file, orientation):
    """A JPEG file whose orientation is in XMP."""
    text = f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'
    data = b"http://ns.adobe.com/xap/1.0/\0" + text.encode()
    return file[:2] + b"\xff\xe1" + (len(data) + 2).to_bytes(2, "big") + data + file[2:]


def with_text(orientation):
    """A PNG file whose orientation is in a text chunk, as ImageMagick writes it."""
    exif, text, buffer = Image.Exif(), PngImagePlugin.PngInfo(), io.BytesIO()
    exif[0x0112] = orientation
    text.add_text("Raw profile type exif", f"\nexif\n{len(exif.tobytes()):8}\n{exif.tobytes().hex()}\n", zip=True)
    Image.fromarray(PIXELS).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


@pytest.mark.parametrize("file", [with_xmp(file_of("RGB", "JPEG"), 6), with_text(6)], ids=["XMP", "text chunk"])
def test_a_turn_that_the_server_does_not_see_is_made_before(file, tmp_path):
    (tmp_path / "image").write_bytes(file)
    expected = read_image(file)
    assert expected.shape == (17, 12, 3) and served_orientation(file) == 1
    for source in (file, tmp_path / "image"):
        sent, size = encode(source)
        assert sent != file and size == (17, 12) and served_orientation(sent) == 1
        np.testing.assert_array_equal(read_image(sent), expected)
    if file.startswith(b"\xff\xd8"):  # EXIF goes before XMP
        both = with_xmp(file_of("RGB", "JPEG", orientation=8), 6)
        assert encode(both) == (both, (17, 12)) and served_orientation(both) == 8


@pytest.mark.parametrize(
    "source",
    [PIXELS, PIXELS[..., :1], Image.fromarray(PIXELS), file_of("RGB", "WEBP"), file_of("RGB", "TIFF")],
    ids=["array", "grey array", "PIL", "webp", "tiff"],
)  # fmt: skip
def test_everything_else_becomes_png_without_loss(source):
    file, size = encode(source)
    expected = read_image(source)
    with Image.open(io.BytesIO(file)) as image:
        assert image.format == "PNG" and "exif" not in image.info
        np.testing.assert_array_equal(np.asarray(image), expected)
    assert size == expected.shape[:2]


def test_what_is_no_image_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("no photo")
    for source, told in ((tmp_path / "notes.txt", "notes.txt"), (tmp_path / "gone.jpg", "does not exist"),
                         (b"no photo", "bytes"), (PIXELS.astype(float), "uint8")):  # fmt: skip
        with pytest.raises(ValueError, match=told):
            encode(source)


def test_names_of_images():
    assert name_of("a/b.jpg", 3) == "a/b.jpg"
    assert name_of(PIXELS, 3) == "number 3 of the list, given as ndarray"
