"""People as stick figures on textured backgrounds, with masks and keypoints, drawn on the spot."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mrcnn_keras.data.drawn import DrawnDataset, background, contrasting, place, rgb, visible_parts
from mrcnn_keras.data.keypoints import KeypointSet

_NAMES = ("head", *(f"{side}_{part}" for part in ("shoulder", "elbow", "hand", "hip", "knee", "foot")
                    for side in ("left", "right")))  # fmt: skip
_LIMBS = ((0, 1), (0, 2), (1, 2), (1, 3), (3, 5), (2, 4), (4, 6), (1, 7), (2, 8), (7, 8), (7, 9), (9, 11), (8, 10),
          (10, 12))  # fmt: skip
# COCO's of the same joints; the head's is between an ear's and a shoulder's.
_SIGMAS = (0.05, *[0.079] * 2, *[0.072] * 2, *[0.062] * 2, *[0.107] * 2, *[0.087] * 2, *[0.089] * 2)

# How much darker the rims are than the middle.
_RIM = 0.45


class StickFiguresDataset(DrawnDataset):
    """Procedural images of overlapping people drawn as stick figures, each with 13 keypoints; no files.

    Figures stand, wave, crouch and lean in all sizes from 35 to 95 % of the image's shorter side. Some are seen from
    behind, with hair where the others have a face and no stripe on the shirt; their left is at the image's left, that
    of the others at its right. So the sides can be told, and a mirrored image is as good as any when left and right
    keypoints change places.

    Image i depends on `seed`, `size` and i alone. Masks are the visible parts. A joint that a later figure covers has
    visibility 1, one outside the image 0.

    Args:
        n: number of images, >= 0.
        seed: >= 0; datasets with different seeds share no image.
        size: (height, width) of the images in pixels, at least 64 each.
        max_objects: most people in an image, >= 1; each has at least one.
    """

    class_names = ("person",)
    keypoints = KeypointSet(_NAMES, skeleton=_LIMBS, sigmas=_SIGMAS)
    least_side = 64

    def __init__(self, n: int, seed: int = 0, size: tuple[int, int] = (128, 128), max_objects: int = 3):
        super().__init__(n, seed, size, max_objects)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]]:
        """A canvas float32 (H, W, 3), 0..255, and its people as arguments of `make_annotations`."""
        canvas = background(rng, self.size)
        figures = place(rng, self.max_objects, lambda: _make_figure(rng, self.size))
        planes = np.ascontiguousarray(canvas.transpose(2, 0, 1))  # many small windows are faster plane by plane
        for figure in figures:
            _paint(rng, planes, figure)
        solids = [figure.solid for figure in figures]
        points = [_judged(figure.joints, solids[row + 1 :], self.size) for row, figure in enumerate(figures)]
        masks = visible_parts(solids)
        return planes.transpose(1, 2, 0), {
            "class_ids": [0] * len(figures),
            "masks": masks,
            "keypoints": np.stack(points),
        }


class _Part(NamedTuple):
    """A piece of a figure, as it is drawn."""

    kind: str  # what decides its colour
    window: tuple[slice, slice]  # the rows and columns it is drawn in
    alpha: np.ndarray  # coverage 0..1 in the window
    shade: np.ndarray  # brightness in the window: lighter along the middle, so that limbs look round


class _Figure(NamedTuple):
    joints: np.ndarray  # float64 (13, 2) x, y in pixels
    parts: list[_Part]  # in the order of drawing
    solid: np.ndarray  # bool (H, W), pixels that are more than half covered


def _make_figure(rng: np.random.Generator, size: tuple[int, int]) -> _Figure:
    front = rng.random() < 0.65
    joints = _posed(rng, 1 if front else -1)
    turn = np.deg2rad(rng.uniform(-25, 25))
    joints = joints @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    low, high = np.minimum(joints.min(axis=0), joints[0] - 0.09), np.maximum(joints.max(axis=0), joints[0] + 0.09)
    scale = rng.uniform(0.35, 0.95) * min(size) / (high[1] - low[1])
    # A tenth of the figure may lie outside the image.
    slack = 0.1 * scale
    ends = [sorted((-slack - scale * low[k], size[1 - k] + slack - scale * high[k])) for k in (0, 1)]
    joints = joints * scale + [rng.uniform(*ends[0]), rng.uniform(*ends[1])]
    parts, solid = list(_shapes(list(_pieces(rng, joints, scale, front)), size)), np.zeros(size, bool)
    for part in parts:
        solid[part.window] |= part.alpha >= 0.5
    return _Figure(joints, parts, solid)


def _posed(rng: np.random.Generator, left: int) -> np.ndarray:
    """Joints (13, 2) of a figure about one unit high, the pelvis at 0; `left` is 1 where its left is at +x."""
    nod, *angles = rng.random(9).tolist()
    head = _towards(0, -0.31, 180 + 30 * (nod - 0.5), 0.125)
    sides = []
    for side, arm, forearm, thigh, shin in ((left, *angles[:4]), (-left, *angles[4:])):
        raised = 170 * arm - 5  # degrees from straight down, outwards
        elbow = _towards(0.11, -0.29, raised, 0.165)
        hand = _towards(*elbow, raised + 220 * (forearm - 0.5), 0.155)
        spread = 58 * thigh - 8
        knee = _towards(0.07, 0, spread, 0.24)
        foot = _towards(*knee, spread + 70 * shin - 60, 0.24)
        sides.append([(side * x, y) for x, y in ((0.11, -0.29), elbow, hand, (0.07, 0), knee, foot)])
    return np.array([head, *(joint for pair in zip(*sides) for joint in pair)])


def _towards(x: float, y: float, degrees: float, length: float) -> tuple[float, float]:
    """The end of a line from (x, y); 0 degrees is down, 90 to the right."""
    angle = math.radians(degrees)
    return x + length * math.sin(angle), y + length * math.cos(angle)


def _pieces(rng: np.random.Generator, joints: np.ndarray, scale: float, front: bool) -> Iterator[tuple]:
    """(kind, start, stop, radius) of the capsules that a figure is made of, in the order of drawing."""
    thick = max(rng.uniform(0.032, 0.046) * scale, 1.4)
    head, shoulders, elbows, hands, hips, knees, feet = joints[0], *joints[1:].reshape(6, 2, 2)
    neck, pelvis = shoulders.mean(axis=0), hips.mean(axis=0)
    up = (neck - pelvis) / np.linalg.norm(neck - pelvis)
    arms = []
    for k in (0, 1):
        arms.append([(f"sleeve{k}", shoulders[k], elbows[k], 1.05 * thick), (f"sleeve{k}", elbows[k], hands[k], thick),
                     ("skin", hands[k], hands[k], 1.25 * thick)])  # fmt: skip
        outwards = np.array([np.sign(feet[k, 0] - pelvis[0]) * thick, 0])
        yield f"leg{k}", hips[k], knees[k], 1.3 * thick
        yield f"leg{k}", knees[k], feet[k], 1.15 * thick
        yield "shoe", feet[k], feet[k] + outwards, 1.2 * thick
    behind = rng.random(2) < 0.3
    for arm in (arms[k] for k in (0, 1) if behind[k]):
        yield from arm
    yield "skin", neck, head, thick
    yield "shirt", neck, pelvis, 0.12 * scale + 0.3 * thick
    if front:
        yield "stripe", neck - 0.02 * scale * up, pelvis, 0.022 * scale
    radius = 0.085 * scale
    yield "hair", head + 0.012 * scale * up, head + 0.012 * scale * up, 1.12 * radius
    if front:
        yield "face", head - 0.022 * scale * up, head - 0.022 * scale * up, 0.82 * radius
        across = 0.36 * radius * np.array([-up[1], up[0]])
        for eye in (head + across, head - across):
            yield "eye", eye, eye, 0.15 * radius
    for arm in (arms[k] for k in (0, 1) if not behind[k]):
        yield from arm


def _shapes(pieces: list[tuple], size: tuple[int, int]) -> Iterator[_Part]:
    """The pieces as they lie in the image, without those outside: all within a radius of a line, or of a disc."""
    starts, stops = (np.array([piece[k] for piece in pieces]) for k in (1, 2))
    reach = np.array([piece[3] for piece in pieces])[:, None] + 1
    low = np.maximum(np.minimum(starts, stops) - reach, 0).astype(int)
    high = np.minimum(np.maximum(starts, stops) + reach + 1, size[::-1]).astype(int)
    lines = zip(pieces, low.tolist(), high.tolist(), starts.tolist(), (stops - starts).tolist())
    for (kind, _, _, radius), (left, top), (right, bottom), (x, y), (dx, dy) in lines:
        if left < right and top < bottom:
            columns = np.arange(left, right, dtype=np.float32) - np.float32(x - 0.5)
            rows = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y - 0.5)
            squared = _squared_distance(columns, rows, dx, dy)
            shade = squared * np.float32(-_RIM / radius**2)
            shade += 1
            alpha = np.float32(radius + 0.5) - np.sqrt(squared, out=squared)
            np.minimum(np.maximum(alpha, 0, out=alpha), 1, out=alpha)
            yield _Part(kind, (slice(top, bottom), slice(left, right)), alpha, shade)


def _squared_distance(x: np.ndarray, y: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """(h, w) of the points (x, y) from the line that leads from 0 to (dx, dy)."""
    length = math.hypot(dx, dy)
    if length == 0:
        return x * x + y * y
    cos, sin, length = np.float32(dx / length), np.float32(dy / length), np.float32(length)
    along, across = x * cos + y * sin, y * cos - x * sin
    along -= np.minimum(np.maximum(along, 0), length)
    along *= along
    across *= across
    along += across
    return along


def _paint(rng: np.random.Generator, planes: np.ndarray, figure: _Figure) -> None:
    largest = max(figure.parts, key=lambda part: part.alpha.size)
    colours = _clothes(rng, planes[(slice(None), *largest.window)].mean(axis=(1, 2)))
    for part in figure.parts:
        below = planes[(slice(None), *part.window)]
        change = part.shade * colours[part.kind][:, None, None]
        change -= below
        change *= part.alpha
        below += change


def _clothes(rng: np.random.Generator, behind: np.ndarray) -> dict[str, np.ndarray]:
    """Colour of each kind of part; one side, by chance, lies in the shade."""
    shirt = contrasting(rng, behind)
    a, b, c, d, e, f, hue, strength, shaded = rng.random(9).tolist()
    trousers = rgb(hue, 0.6 + 0.4 * strength, 0.85)
    skin = rgb(0.04 + 0.06 * a, 0.25 + 0.35 * b, 0.7 + 0.3 * c)
    hair = rgb(0.12 * d, 0.2 + 0.6 * e, 0.08 + 0.27 * f)
    light = [1.0, 0.72] if shaded < 0.5 else [0.72, 1.0]
    white = np.full(3, 245, np.float32)
    colours = {"shirt": shirt, "skin": skin, "face": skin, "hair": hair, "eye": 0.3 * hair, "shoe": 0.45 * trousers}
    colours["stripe"] = white if np.abs(shirt - white).sum() > 200 else 0.2 * shirt
    for k, part in enumerate(light):
        colours |= {f"sleeve{k}": np.float32(part) * shirt, f"leg{k}": np.float32(part) * trousers}
    return colours


def _judged(joints: np.ndarray, later: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Keypoints (13, 3): the joints with their visibility under later figures."""
    x, y = np.floor(joints).astype(int).T
    inside = (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0])
    covered = np.zeros(len(joints), bool)
    for solid in later:
        covered[inside] |= solid[y[inside], x[inside]]
    return np.concatenate([joints, np.where(inside, 2 - covered, 0)[:, None]], axis=1)
