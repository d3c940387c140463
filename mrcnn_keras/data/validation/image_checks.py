"""Checks of one image file against what the annotation file says of it."""

import os

from mrcnn_keras.data.images import image_file_orientation, read_image
from mrcnn_keras.data.validation.findings import Note


def check_image(path: str | os.PathLike, stated: tuple[int, int] | None) -> tuple[tuple[int, int] | None, list[Note]]:
    """Decodes an image as training does.

    Args:
        path: the file.
        stated: (height, width) in the annotation file, or None.

    Returns:
        (height, width) of the image, upright, or None where it cannot be read; and what is wrong with it.
    """
    if not os.path.isfile(path):
        return None, [Note("missing_image", f"there is no file {path}")]
    try:
        size = read_image(path).shape[:2]
        turn = image_file_orientation(path)
    except ValueError as error:
        return None, [Note("unreadable_image", str(error))]
    if stated is not None and stated != size:
        return size, [_mismatch(size, stated, turn)]
    if turn != 1 and (stated is None or turn < 5 or size[0] == size[1]):
        found = f"the file has EXIF orientation {turn}, which training applies"
        return size, [Note("exif_turn_ambiguous", found)]
    return size, []


def _mismatch(size: tuple[int, int], stated: tuple[int, int], turn: int) -> Note:
    (height, width), (stated_height, stated_width) = size, stated
    found = f"the image is {width}x{height} pixels, the annotation file says {stated_width}x{stated_height}"
    if turn >= 5 and stated == size[::-1]:
        return Note("exif_turn_ignored", f"{found}: turned by EXIF orientation {turn}")
    return Note("size_mismatch", found)
