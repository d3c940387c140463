"""Photos in all the ways they come, made on the spot."""

import io

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.data import image_file_size, read_image, resize_image, resized_size
from mrcnn_keras.data.images import read_labels


def _photo(height=12, width=20):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 12, y * 20, (x + y) * 7], axis=-1).astype(np.uint8)


def _turned(photo, orientation):
    """What a camera stores so that a viewer, told the orientation, shows `photo`: the inverse of the viewer's step."""
    stored = {
        1: photo,
        2: photo[:, ::-1],
        3: photo[::-1, ::-1],
        4: photo[::-1],
        5: photo.transpose(1, 0, 2),
        6: np.rot90(photo, 1),
        7: photo[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(photo, -1),
    }[orientation]
    return np.ascontiguousarray(stored)


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_shows_the_photo_upright(tmp_path, orientation, suffix):
    photo, path = _photo(), tmp_path / f"photo.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"webp": {"lossless": True}, "jpg": {"quality": 100, "subsampling": 0}}.get(suffix, {})
    Image.fromarray(_turned(photo, orientation)).save(path, exif=exif, **options)
    np.testing.assert_allclose(read_image(path).astype(int), photo.astype(int), atol=4 if suffix == "jpg" else 0)
    assert image_file_size(path) == (12, 20)


def test_size_is_right_when_the_tag_lies_behind_the_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = io.BytesIO()
    Image.fromarray(_turned(_photo(), 6)).save(image, "PNG", exif=exif)
    data = image.getvalue()
    start = data.index(b"eXIf") - 4
    stop = start + 12 + int.from_bytes(data[start : start + 4], "big")
    end = data.index(b"IEND") - 4
    path = tmp_path / "late.png"
    path.write_bytes(data[:start] + data[stop:end] + data[start:stop] + data[end:])
    assert image_file_size(path) == (12, 20) == read_image(path).shape[:2]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # Pillow tells the user
def test_damaged_exif_does_not_lose_the_photo(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(_photo()).save(path, exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f garbage")
    assert read_image(path).shape == (12, 20, 3) and image_file_size(path) == (12, 20)


def test_grey_one_bit_palette_and_alpha_become_rgb(tmp_path):
    photo = _photo()
    grey = photo[:, :, 0]
    cases = {
        "L": (Image.fromarray(grey), np.stack([grey] * 3, -1)),
        "1": (Image.fromarray(grey > 100), np.stack([(grey > 100) * 255] * 3, -1)),
        "LA": (Image.fromarray(np.stack([grey, 255 - grey], -1), "LA"), np.stack([grey] * 3, -1)),
        "RGBA": (Image.fromarray(np.dstack([photo, grey])), photo),
        "P": (Image.fromarray(photo // 64 * 64).quantize(256), photo // 64 * 64),
    }
    for mode, (image, expected) in cases.items():
        path = tmp_path / f"{mode}.png"
        image.save(path)
        with Image.open(path) as written:
            assert written.mode == mode
        found = read_image(path)
        assert found.dtype == np.uint8 and found.shape == (12, 20, 3)
        np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=2, err_msg=mode)


def test_sixteen_bits_keep_their_range(tmp_path):
    values = np.linspace(0, 65535, 240).reshape(12, 20).astype(np.uint16)
    for suffix in ("png", "tiff"):
        path = tmp_path / f"deep.{suffix}"
        Image.fromarray(values).save(path)
        found = read_image(path)
        np.testing.assert_allclose(found[:, :, 1], values / 257, atol=1)
    np.testing.assert_allclose(read_image(values)[:, :, 1], values / 257, atol=1)


def test_cmyk_jpeg_looks_like_the_rgb_original(tmp_path):
    path = tmp_path / "print.jpg"
    Image.fromarray(_photo()).convert("CMYK").save(path, quality=100)
    with Image.open(path) as written:
        assert written.mode == "CMYK"
    np.testing.assert_allclose(read_image(path).astype(int), _photo().astype(int), atol=8)


def test_bytes_pil_images_and_arrays_are_images_too():
    photo = _photo()
    encoded = io.BytesIO()
    Image.fromarray(photo).save(encoded, "PNG")
    four = np.dstack([photo, photo[:, :, 0]])
    for source in (encoded.getvalue(), Image.fromarray(photo), photo, four):
        np.testing.assert_array_equal(read_image(source), photo)
    assert read_image(photo[:, :, 0]).shape == read_image(photo[:, :, :1]).shape == (12, 20, 3)


def test_sizes_and_labels_can_be_read_from_bytes():
    encoded, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    labels = np.arange(240, dtype=np.uint8).reshape(12, 20)
    Image.fromarray(_turned(labels[..., None], 6)[..., 0]).save(encoded, "PNG", exif=exif)
    assert image_file_size(encoded.getvalue()) == (12, 20)
    np.testing.assert_array_equal(read_labels(encoded.getvalue()), labels)
    for read in (image_file_size, read_labels):
        with pytest.raises(ValueError, match="given as bytes: not in an image format"):
            read(b"no image")


@pytest.mark.parametrize("bad", [np.zeros((4, 5, 3), np.float32), np.zeros((4, 5, 2), np.uint8), np.zeros(5, np.uint8)])
def test_arrays_that_are_no_images_say_what_was_expected(bad):
    with pytest.raises(ValueError, match="uint8|shape"):
        read_image(bad)


def _broken(tmp_path, kind):
    path = tmp_path / f"{kind}.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    if kind == "truncated":
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("<html>404</html>")
    return path


@pytest.mark.parametrize(
    ("kind", "reason"), [("truncated", "truncated"), ("empty", "empty"), ("text", "format"), ("missing", "not exist")]
)
def test_broken_files_are_named_with_the_reason(tmp_path, kind, reason):
    path = _broken(tmp_path, kind)
    with pytest.raises(ValueError, match=f"{kind}.jpg.*{reason}"):
        read_image(path)
    if kind != "truncated":
        with pytest.raises(ValueError, match=f"{kind}.jpg.*{reason}"):
            image_file_size(path)


def test_floating_point_tiff_is_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "f.tiff")
    with pytest.raises(ValueError, match="f.tiff.*floating"):
        read_image(tmp_path / "f.tiff")


def test_labels_keep_their_numbers(tmp_path):
    labels = np.arange(240).reshape(12, 20)
    Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "eight.png")
    Image.fromarray(labels.astype(np.uint16) * 200).save(tmp_path / "sixteen.png")
    palette = Image.fromarray(labels.astype(np.uint8))
    palette.putpalette(list(range(255, -1, -1)) * 3)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "eight.png"), labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "sixteen.png"), labels * 200)
    np.testing.assert_array_equal(read_labels(tmp_path / "palette.png"), labels)
    Image.fromarray(_photo()).save(tmp_path / "colour.png")
    with pytest.raises(ValueError, match="colour.png.*one channel"):
        read_labels(tmp_path / "colour.png")


@pytest.mark.parametrize(
    ("size", "sides", "expected"),
    [
        ((480, 640), (800, 1333), (800, 1067)),  # torchvision rounds this one down
        ((640, 480), (800, 1333), (1067, 800)),
        ((427, 640), (800, 1333), (800, 1199)),
        ((200, 1000), (800, 1333), (267, 1333)),
        ((500, 500), (800, 1333), (800, 800)),
        ((1, 5000), (800, 1333), (1, 1333)),
        ((1024, 2048), (1024, 2048), (1024, 2048)),
    ],
)
def test_resized_size_rounds_like_detectron2(size, sides, expected):
    assert resized_size(*size, *sides) == expected


def test_resize_keeps_gradients_and_type():
    photo = np.repeat(np.repeat(_photo(), 8, axis=0), 8, axis=1)
    small = resize_image(photo, (12, 20))
    assert small.dtype == np.uint8 and small.shape == (12, 20, 3)
    np.testing.assert_allclose(small.astype(int), _photo().astype(int), atol=4)
    assert resize_image(photo, (96, 160)) is photo
