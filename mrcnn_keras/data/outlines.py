"""Outlines that annotation tools draw, and their masks.

All coordinates are continuous pixels of the image, as those of COCO's polygons: pixel (0, 0) reaches from 0 to 1, its
centre is at 0.5, and a rectangle from 5 to 15 covers the ten pixels 5 to 14. What lies outside the image is cut off.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from mrcnn_keras.data import rle
from mrcnn_keras.data.images import read_labels


@dataclasses.dataclass(frozen=True)
class Polygon:
    """The inside of a polygon.

    Attributes:
        points: float64 (P, 2) x, y of its corners, P >= 3.
    """

    points: np.ndarray

    def rle(self, height: int, width: int) -> dict:
        """Compressed COCO RLE in an image of this size."""
        return rle.from_segmentation([self.points.ravel()], height, width)

    def bounds(self) -> tuple[float, float, float, float]:
        """The box around it, xyxy."""
        return (*self.points.min(axis=0), *self.points.max(axis=0))


@dataclasses.dataclass(frozen=True)
class Ellipse:
    """The pixels whose centre lies in an ellipse.

    Attributes:
        centre: x, y.
        radii: half the length of the two axes, both above 0; the first lies along x before turning.
        turn: radians from the x axis towards the y axis: clockwise as seen.
    """

    centre: tuple[float, float]
    radii: tuple[float, float]
    turn: float = 0.0

    def rle(self, height: int, width: int) -> dict:
        """Compressed COCO RLE in an image of this size."""
        along, across, slope = self._form()
        x = np.arange(width) + 0.5 - self.centre[0]
        inside = (slope * x) ** 2 - across * (along * x**2 - 1)
        half = np.sqrt(np.maximum(inside, 0)) / across
        middle = self.centre[1] - slope * x / across
        first = np.ceil(np.clip(middle - half - 0.5, 0, height))
        last = np.floor(np.clip(middle + half + 0.5, 0, height))
        return rle.from_spans(first, np.where(inside < 0, first, last), height)

    def bounds(self) -> tuple[float, float, float, float]:
        """The box around it, xyxy."""
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        (first, second), (x, y) = self.radii, self.centre
        half_width, half_height = math.hypot(first * cos, second * sin), math.hypot(first * sin, second * cos)
        return x - half_width, y - half_height, x + half_width, y + half_height

    def _form(self) -> tuple[float, float, float]:
        """a, c, b of a x^2 + 2 b x y + c y^2 <= 1."""
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        first, second = self.radii[0] ** -2, self.radii[1] ** -2
        return cos**2 * first + sin**2 * second, sin**2 * first + cos**2 * second, cos * sin * (first - second)


@dataclasses.dataclass(frozen=True)
class Bitmap:
    """A small mask image somewhere in the image; everything but zero is the object.

    Attributes:
        encoded: the file, such as a PNG, of one channel.
        left: column of the image where its first column lies.
        top: row of the image where its first row lies.
        size: its (height, width).
    """

    encoded: bytes
    left: int
    top: int
    size: tuple[int, int]

    def rle(self, height: int, width: int) -> dict:
        """Compressed COCO RLE in an image of this size."""
        small, mask = read_labels(self.encoded), np.zeros((height, width), bool)
        rows, cols = slice(max(self.top, 0), height), slice(max(self.left, 0), width)
        seen = small[rows.start - self.top :, cols.start - self.left :]
        part = mask[rows, cols][: seen.shape[0], : seen.shape[1]]
        part[:] = seen[: part.shape[0], : part.shape[1]] != 0
        return rle.encode(mask)

    def bounds(self) -> tuple[float, float, float, float]:
        """The box around it, xyxy."""
        return self.left, self.top, self.left + self.size[1], self.top + self.size[0]


Outline = Polygon | Ellipse | Bitmap


def polygon(points: Sequence[Sequence[float]]) -> Polygon:
    """A polygon with these corners (x, y); ValueError unless there are three or more."""
    if len(points) < 3:
        raise ValueError(f"it has {len(points)} points; an object needs three or more")
    return Polygon(np.array(points, np.float64))


def rectangle(x1: float, y1: float, x2: float, y2: float) -> Polygon:
    """The rectangle with two opposite corners; ValueError where it has no area."""
    if x1 == x2 or y1 == y2:
        raise ValueError(f"it is {abs(x2 - x1):g} wide and {abs(y2 - y1):g} high; both must be above 0")
    return polygon([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])


def ellipse(centre: tuple[float, float], radii: tuple[float, float], turn: float = 0.0) -> Ellipse:
    """An ellipse, see `Ellipse`; ValueError where a radius is not above 0."""
    if min(radii) <= 0:
        raise ValueError(f"its radius must be above 0, got {min(radii):g}")
    return Ellipse(centre, radii, turn)


def checked_number(value: float, name: str) -> float:
    """A finite number as float; ValueError naming it otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r:.40}")
    return float(value)


def united_rle(outlines: Sequence[Outline], height: int, width: int) -> dict | None:
    """Compressed RLE of the pixels in any of the outlines of one object; None if they cover none.

    Raises:
        ValueError: an outline lies wholly outside the image, or cannot be drawn.
    """
    for one in outlines:
        left, top, right, bottom = one.bounds()
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            box = [round(float(side), 2) for side in (left, top, right, bottom)]
            raise ValueError(f"it lies at {box}, wholly outside the {width}x{height} image")
    united = rle.union([one.rle(height, width) for one in outlines])
    return united if rle.areas([united])[0] else None
