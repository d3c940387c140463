"""The objects of one LabelMe file."""

import base64
import binascii
import math

from mrcnn_keras.data.images import image_file_size
from mrcnn_keras.data.outlined import OutlinedObject
from mrcnn_keras.data.outlines import Bitmap, Outline, checked_number, ellipse, polygon, rectangle

# LabelMe's own names for what is no object.
_NO_OBJECTS = ("__ignore__", "_background_")
_WITHOUT_AREA = ("point", "points", "line", "linestrip")


def objects_of(shapes: list) -> tuple[list[OutlinedObject], list[str]]:
    """The objects that shapes make up, and faults of the shapes that cannot be used.

    Shapes with the same label and the same `group_id`, unless it is null, are one object. The id of an object is the
    place of its first shape in the file. Shapes that LabelMe labels `__ignore__` and `_background_` are passed over.
    """
    objects, groups, faults = [], {}, []
    for place, shape in enumerate(shapes):
        try:
            label = _label(shape)
            if label in _NO_OBJECTS:
                continue
            outline = outline_of(shape)
        except ValueError as error:
            faults.append(f"shape {place}: {error}")
            continue
        group = shape.get("group_id")
        key = (label, "shape", place) if group is None else (label, "group", str(group))
        if key not in groups:
            groups[key] = OutlinedObject(place, label, [])
            objects.append(groups[key])
        groups[key].outlines.append(outline)
    return objects, faults


def outline_of(shape: dict) -> Outline:
    """The outline of a shape.

    Raises:
        ValueError: it has no area, as a line, or is incomplete.
    """
    kind, points = shape.get("shape_type") or "polygon", _points(shape)
    if kind in ("polygon", "oriented_rectangle") or (kind == "rectangle" and len(points) == 4):
        return polygon(points)
    if kind in _WITHOUT_AREA:
        raise ValueError(f"a {kind} has no area; draw a polygon, rectangle, circle or mask")
    if kind not in ("rectangle", "circle", "mask"):
        known = "polygon, rectangle, oriented_rectangle, circle and mask"
        raise ValueError(f"unknown shape_type {kind!r}; known are {known}")
    if len(points) != 2:
        raise ValueError(f"a {kind} has two points, got {len(points)}")
    first, second = points
    if kind == "rectangle":
        return rectangle(*first, *second)
    if kind == "circle":
        radius = math.dist(first, second)
        return ellipse(first, (radius, radius))
    return _bitmap(shape.get("mask"), first, second)


def decoded(text: str, name: str) -> bytes:
    """Bytes of a base64 text, line breaks allowed; ValueError naming the field otherwise."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (AttributeError, binascii.Error, ValueError):
        raise ValueError(f"{name} is not base64") from None


def _bitmap(mask: str, first: tuple[float, float], second: tuple[float, float]) -> Bitmap:
    if not isinstance(mask, str):
        raise ValueError("a mask needs the field 'mask', a PNG as base64")
    encoded = decoded(mask, "'mask'")
    try:
        height, width = image_file_size(encoded)
    except ValueError:
        raise ValueError("'mask' is not an image") from None
    (left, top), (right, bottom) = (tuple(int(value) for value in point) for point in (first, second))
    # LabelMe counts the last row and column in, other programs that write its files do not.
    if height - (bottom - top) not in (0, 1) or width - (right - left) not in (0, 1):
        box = [left, top, right, bottom]
        raise ValueError(f"its mask is (height, width) = {(height, width)}, which does not fit its points {box}")
    return Bitmap(encoded, left, top, (height, width))


def _label(shape: dict) -> str:
    label = shape.get("label") if isinstance(shape, dict) else None
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f"its label must be a text, got {label!r:.40}")
    return label.strip()


def _points(shape: dict) -> list[tuple[float, float]]:
    points = shape.get("points")
    if not isinstance(points, list) or not all(isinstance(one, list) and len(one) == 2 for one in points):
        raise ValueError("'points' must be a list of [x, y]")
    return [(checked_number(x, "x"), checked_number(y, "y")) for x, y in points]
