"""What a region of the VGG Image Annotator is: its outline and its class."""

import math
from collections.abc import Iterable

import numpy as np

from mrcnn_keras.data.class_names import listed
from mrcnn_keras.data.outlines import Outline, checked_number, ellipse, polygon, rectangle

# A polyline whose ends are no farther apart than this part of its length was meant to be closed.
_MAX_GAP = 0.1


def outline_of(region: dict) -> Outline:
    """The outline that the "shape_attributes" of a region describe.

    Raises:
        ValueError: it is a point, an open polyline, or incomplete.
    """
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    if not isinstance(shape, dict):
        raise ValueError("it has no 'shape_attributes'")
    name = shape.get("name")
    if name in ("polygon", "polyline"):
        points = _points(shape)
        return polygon(points if name == "polygon" else _closed(points))
    if name == "rect":
        x, y, width, height = _numbers(shape, "x", "y", "width", "height")
        if min(width, height) <= 0:
            raise ValueError(f"its width and height must be above 0, got {width:g} and {height:g}")
        return rectangle(x, y, x + width, y + height)
    if name == "circle":
        x, y, radius = _numbers(shape, "cx", "cy", "r")
        return ellipse((x, y), (radius, radius))
    if name == "ellipse":
        x, y, first, second, turn = _numbers({"theta": 0, **shape}, "cx", "cy", "rx", "ry", "theta")
        return ellipse((x, y), (first, second), turn)
    if name == "point":
        raise ValueError("it is a point, which has no area; draw a polygon, rect, circle or ellipse")
    raise ValueError(f"it has the unknown shape {name!r}; known are polygon, polyline, rect, circle and ellipse")


def class_of(region: dict, attribute: str, options: tuple[str, ...] = ()) -> str:
    """The class that an attribute of a region names: its text, or the one box that is ticked.

    Args:
        region: element of "regions".
        attribute: name of the attribute.
        options: the values it can have; empty if any.

    Raises:
        ValueError: no class, or more than one, or one that is not among the options.
    """
    value = attributes_of(region).get(attribute)
    if isinstance(value, dict):
        ticked = [str(name) for name, chosen in value.items() if chosen]
        if len(ticked) != 1:
            raise ValueError(f"attribute {attribute!r} must have exactly one box ticked, it has {ticked}")
        value = ticked[0]
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise ValueError(f"attribute {attribute!r} must name its class, got {value!r:.40}")
    name = str(value).strip()
    if options and name not in options:
        raise ValueError(f"attribute {attribute!r} is {name!r}, which is not among its options {listed(options)}")
    return name


def class_attribute_of(wanted: str | None, declared: Iterable[str], regions: list[dict]) -> str | None:
    """The attribute that holds the class: the one wanted, else the only one there is; None if there is none.

    Raises:
        ValueError: the wanted one is not there, or there are several.
    """
    there = list(dict.fromkeys([*declared, *(name for region in regions for name in attributes_of(region))]))
    if wanted is not None:
        if wanted not in there and regions:
            raise ValueError(f"no region has the attribute {wanted!r}; there are {listed(there) or 'none'}")
        return wanted
    if len(there) > 1:
        raise ValueError(f"regions have several attributes, {listed(there)}; pass the class's as class_attribute=")
    return there[0] if there else None


def attributes_of(region: dict) -> dict:
    """The "region_attributes" of a region; empty if it has none."""
    found = region.get("region_attributes") if isinstance(region, dict) else None
    return found if isinstance(found, dict) else {}


def _points(shape: dict) -> list[tuple[float, float]]:
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
        raise ValueError("'all_points_x' and 'all_points_y' must be lists of the same length")
    return [(checked_number(x, "all_points_x"), checked_number(y, "all_points_y")) for x, y in zip(xs, ys)]


def _closed(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    length = float(np.hypot(*np.diff(points, axis=0).T).sum()) if len(points) > 1 else 0.0
    gap = math.dist(points[0], points[-1]) if points else 0.0
    if gap > _MAX_GAP * length:
        raise ValueError(
            f"it is an open polyline: its ends are {gap:.1f} pixels apart, more than a tenth of its length; "
            "draw a polygon"
        )
    return points


def _numbers(shape: dict, *names: str) -> list[float]:
    return [checked_number(shape.get(name), f"{name} of {shape['name']}") for name in names]
