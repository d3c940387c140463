"""Reading and resizing photos exactly as Detectron2 does, so that its checkpoints see the same pixels."""

import io
import os
import struct

import numpy as np

# What EXIF orientations 2 to 8 ask for, as names in PIL.Image.Transpose.
_TRANSPOSE = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_ORIENTATION_TAG = 0x0112


def read_image(source) -> np.ndarray:
    """An image as RGB, upright.

    EXIF orientation is applied; grey, palette and CMYK are converted; alpha is dropped; 16 bits are scaled to 8.

    Args:
        source: path, encoded bytes, PIL image, or uint8 / uint16 array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).

    Returns:
        uint8 (H, W, 3), values 0..255.

    Raises:
        ValueError: not a readable image; the message names the file.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    name = _name(source)
    try:
        with _open(source) as image:
            image.load()  # first, because Pillow turns some formats itself and then removes the tag
            return _to_rgb(_upright(image, orientation(image)))
    except FileNotFoundError:
        raise ValueError(f"cannot read image {name}: the file does not exist") from None
    except Exception as error:  # Pillow's decoders raise many types on damaged files
        raise ValueError(f"cannot read image {name}: {_reason(source, error)}") from error


def read_labels(source: str | os.PathLike | bytes) -> np.ndarray:
    """A mask image whose pixel value is the instance: integer (H, W), upright.

    Args:
        source: path or encoded bytes.

    Raises:
        ValueError: not a readable image, or one with colour channels.
    """
    try:
        with _open(source) as image:
            image.load()
            upright = _upright(image, orientation(image))
            if upright.mode == "1" or upright.mode == "L" or upright.mode == "P" or upright.mode.startswith("I"):
                return np.asarray(upright).astype(np.int32)
            mode = upright.mode
    except FileNotFoundError:
        raise ValueError(f"cannot read mask {_name(source)}: the file does not exist") from None
    except Exception as error:  # as above
        raise ValueError(f"cannot read mask {_name(source)}: {_reason(source, error)}") from error
    remedy = "save it with one channel, the instance number"
    raise ValueError(f"cannot read mask {_name(source)}: it has mode {mode}; {remedy}")


def image_file_size(source: str | os.PathLike | bytes) -> tuple[int, int]:
    """(height, width) in pixels of an image file, or its bytes, as `read_image` returns it, from the header alone."""
    stored, turn = _header(source)
    return stored[::-1] if turn >= 5 else stored


def image_file_orientation(source: str | os.PathLike | bytes) -> int:
    """EXIF orientation 1..8 of an image file, or its bytes, from the header alone; 5 to 8 swap height and width."""
    return _header(source)[1]


def resized_size(height: int, width: int, min_side: int, max_side: int) -> tuple[int, int]:
    """Size that brings the short side to `min_side`, with the long side at most `max_side` (Detectron2's rounding).

    Args:
        height: > 0, pixels.
        width: > 0, pixels.
        min_side: > 0, pixels.
        max_side: > 0, pixels.

    Returns:
        (height, width) of the resized image, at least 1 pixel each.
    """
    scale = min_side / min(height, width)
    new_height, new_width = (min_side, scale * width) if height < width else (scale * height, min_side)
    longest = max(new_height, new_width)
    if longest > max_side:
        shrink = max_side / longest
        new_height, new_width = new_height * shrink, new_width * shrink
    return max(1, int(new_height + 0.5)), max(1, int(new_width + 0.5))


def resize_image(
    image: np.ndarray,
    size: tuple[int, int],
    window: tuple[float, float, float, float] | None = None,
    mirror: bool = False,
) -> np.ndarray:
    """Bilinear resize, antialiased when shrinking (Pillow's).

    Args:
        image: uint8 (H, W, 3).
        size: (height, width) of the result in pixels.
        window: xyxy of the part wanted in pixels, inside the image and not empty; None: all.
        mirror: swap left and right of the result.

    Returns: uint8 (height, width, 3): the image itself where nothing is to be done.
    """
    from PIL import Image

    height, width = image.shape[:2]
    if not mirror and (height, width) == tuple(size) and window in (None, (0, 0, width, height)):
        return image
    resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR, window)
    # Several times as fast here as with NumPy afterwards.
    return np.asarray(resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else resized)


def orientation(image, getexif=None) -> int:
    """EXIF orientation 1..8 of a PIL image; 1 where there is none or the tags are damaged."""
    try:
        value = (getexif or type(image).getexif)(image).get(_ORIENTATION_TAG, 1)
    except Exception:  # broken tags do not make the pixels unreadable
        return 1
    return value if value in _TRANSPOSE else 1


def _header(source: str | os.PathLike | bytes) -> tuple[tuple[int, int], int]:
    """(height, width) of the pixels as stored, and EXIF orientation 1..8."""
    from PIL import Image

    try:
        with _open(source) as image:
            # Pillow decodes a whole PNG to look for tags behind the pixels; most files have none there.
            header_only = image.format == "PNG" and not _png_tags_after_pixels(source)
            turn = orientation(image, Image.Image.getexif if header_only else None)
            # Pillow versions differ in whether a TIFF's size is turned already, its tags are not.
            width, height = (image.tag_v2[256], image.tag_v2[257]) if image.format == "TIFF" else image.size
            return (height, width), turn
    except FileNotFoundError:
        raise ValueError(f"cannot read image {_name(source)}: the file does not exist") from None
    except Exception as error:  # as above
        raise ValueError(f"cannot read image {_name(source)}: {_reason(source, error)}") from error


def _upright(image, turn: int):
    from PIL import Image

    return image.transpose(Image.Transpose[_TRANSPOSE[turn]]) if turn in _TRANSPOSE else image


def _to_rgb(image) -> np.ndarray:
    if image.mode == "RGB":
        return np.array(image)
    if image.mode.startswith("I"):
        return _from_array(_to_16_bits(np.asarray(image)))
    if image.mode == "F":
        raise ValueError("it holds floating-point values of unknown range; save it with 8 or 16 bits")
    return np.array(image.convert("RGB"))


def _to_16_bits(values: np.ndarray) -> np.ndarray:
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise ValueError(f"it holds integers from {values.min()} to {values.max()}; save it with 8 or 16 bits")
    return values.astype(np.uint16)


def _from_array(array: np.ndarray) -> np.ndarray:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.size == 0:
        raise ValueError(f"an image array must have shape (H, W, 3), (H, W, 4), (H, W, 1) or (H, W), got {array.shape}")
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    if array.dtype != np.uint8:
        raise ValueError(f"an image array must be uint8 (0..255) or uint16, got {array.dtype}; scale and convert it")
    array = array.reshape(array.shape[0], array.shape[1], channels)
    return np.repeat(array, 3, axis=2) if channels == 1 else np.ascontiguousarray(array[:, :, :3])


def _open(source):
    from PIL import Image

    if isinstance(source, Image.Image):
        return source.copy()
    return Image.open(io.BytesIO(source) if isinstance(source, (bytes, bytearray)) else source)


def _name(source) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return getattr(source, "filename", "") or f"given as {type(source).__name__}"


def _reason(source, error: Exception) -> str:
    if isinstance(source, (str, os.PathLike)) and os.path.isfile(source) and os.path.getsize(source) == 0:
        return "the file is empty (0 bytes)"
    if type(error).__name__ == "UnidentifiedImageError":
        return "not in an image format that Pillow knows"
    if type(error).__name__ == "DecompressionBombError":
        return f"{error} If you trust it, set PIL.Image.MAX_IMAGE_PIXELS = None first"
    return str(error) or type(error).__name__


def _png_tags_after_pixels(source: str | os.PathLike | bytes) -> bool:
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        file.seek(8)
        pixels_seen = False
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            pixels_seen |= kind == b"IDAT"
            if pixels_seen and kind in (b"eXIf", b"iTXt", b"zTXt", b"tEXt"):
                return True
            file.seek(length + 4, os.SEEK_CUR)
    return False
