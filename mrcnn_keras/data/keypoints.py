"""What the keypoints of a dataset are, and how those of one image are checked."""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

_OTHER_SIDE = {"left": "right", "right": "left", "l": "r", "r": "l"}


@dataclasses.dataclass(frozen=True)
class KeypointSet:
    """The J keypoints that each object has.

    Attributes:
        names: J names, such as "left_knee", no two the same.
        flip: for each keypoint the index of what it becomes in a mirrored image: its partner of the other side, or
            itself. None: inferred from the names, see `infer_flip`.
        skeleton: pairs of indices 0..J-1 that are drawn as limbs.
        sigmas: for each keypoint how far apart people place it, as a part of the object's size: COCO's measure of
            keypoint similarity goes by it. May be empty.

    Raises:
        ValueError: the fields do not fit each other.
    """

    names: tuple[str, ...]
    flip: tuple[int, ...] | None = None
    skeleton: tuple[tuple[int, int], ...] = ()
    sigmas: tuple[float, ...] = ()

    def __post_init__(self):
        names = tuple(str(name) for name in self.names)
        flip = infer_flip(names) if self.flip is None else tuple(int(one) for one in self.flip)
        fields = {"names": names, "flip": flip, "skeleton": tuple((int(a), int(b)) for a, b in self.skeleton)}
        for field, value in {**fields, "sigmas": tuple(float(one) for one in self.sigmas)}.items():
            object.__setattr__(self, field, value)
        _check(self)

    def __len__(self) -> int:
        return len(self.names)

    def as_category(self) -> dict[str, list]:
        """The fields of a category in a COCO file that say what its keypoints are."""
        limbs = [[a + 1, b + 1] for a, b in self.skeleton]
        described = {"keypoints": list(self.names), "skeleton": limbs}
        return described | ({"sigmas": list(self.sigmas)} if self.sigmas else {})


def infer_flip(names: Sequence[str]) -> tuple[int, ...]:
    """Which keypoint each one becomes in a mirrored image, by the words left and right (or l and r) in the names.

    "left_eye" and "right_eye", "R knee" and "L knee", "pawFrontLeft" and "pawFrontRight" are partners; upper and lower
    case are the same. A name without such a partner stays itself.

    Returns:
        J indices 0..J-1, their own inverse.
    """
    words = [_words(name) for name in names]
    mirrored = [tuple(_OTHER_SIDE.get(word, word) for word in one) for one in words]
    place = {one: index for index, one in enumerate(words)}
    if len(place) < len(words):  # names that differ in case or punctuation only: nothing can be told from them
        return tuple(range(len(words)))
    return tuple(place.get(one, index) for index, one in enumerate(mirrored))


def checked_keypoints(keypoints: Sequence | np.ndarray | None, ids: Sequence) -> np.ndarray | None:
    """The keypoints of N objects as an array; where visibility is 0, x and y become 0, too.

    Args:
        keypoints: (N, J, 3) x, y, visibility, or None.
        ids: N annotation ids, for messages.

    Returns:
        float32 (N, J, 3), or None.

    Raises:
        ValueError: another shape, a visibility other than 0, 1, 2, or a labelled place that is not finite.
    """
    if keypoints is None:
        return None
    points = np.array(keypoints, np.float32)
    if points.size == 0 and not len(ids) and points.ndim != 3:
        points = points.reshape(0, 0, 3)
    if points.ndim != 3 or points.shape[0] != len(ids) or points.shape[2] != 3:
        raise ValueError(f"keypoints must have shape ({len(ids)}, J, 3) for {len(ids)} class_ids, got {points.shape}")
    for annotation_id, one in zip(ids, points, strict=True):
        try:
            check_points(one)
        except ValueError as error:
            raise ValueError(f"annotation {annotation_id}: {error}") from None
    points[points[..., 2] == 0] = 0
    return points


def check_points(points: np.ndarray) -> None:
    """Raises ValueError where the keypoints (J, 3) of one object have a wrong visibility or no finite place."""
    wrong = points[~np.isin(points[:, 2], (0, 1, 2)), 2]
    if wrong.size:
        raise ValueError(f"keypoint visibility must be 0, 1 or 2, got {wrong[0]:g}")
    if not np.isfinite(points[points[:, 2] > 0]).all():
        raise ValueError("a labelled keypoint is not finite")


def _words(name: str) -> tuple[str, ...]:
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return tuple(re.split(r"[\W_]+", parted.strip().lower()))


def _check(given: KeypointSet) -> None:
    count = len(given.names)
    if len(set(given.names)) < count or not count:
        raise ValueError(f"keypoint names must be one or more, no two the same, got {list(given.names)}")
    if len(given.flip) != count or not all(0 <= one < count for one in given.flip):
        raise ValueError(f"flip must be {count} indices in 0..{count - 1}, one for each name, got {list(given.flip)}")
    for index, partner in enumerate(given.flip):
        if given.flip[partner] != index:
            names = f"{given.names[index]!r} becomes {given.names[partner]!r}"
            back = given.names[given.flip[partner]]
            raise ValueError(f"flip must be its own inverse, but {names} and that becomes {back!r}")
    for pair in given.skeleton:
        if not all(0 <= end < count for end in pair):
            raise ValueError(f"skeleton pair {pair} is not in 0..{count - 1}, the indices of the {count} keypoints")
    if given.sigmas and (len(given.sigmas) != count or min(given.sigmas) <= 0):
        raise ValueError(f"sigmas must be {count} numbers above 0, one for each name, got {list(given.sigmas)}")


_COCO_NAMES = """nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow
left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"""
_COCO_LIMBS = "15-13 13-11 16-14 14-12 11-12 5-11 6-12 5-6 5-7 6-8 7-9 8-10 1-2 0-1 0-2 1-3 2-4 3-5 4-6"

COCO_PERSON = KeypointSet(
    names=tuple(_COCO_NAMES.split()),
    skeleton=tuple(tuple(map(int, limb.split("-"))) for limb in _COCO_LIMBS.split()),
    sigmas=(0.026, *[0.025] * 2, *[0.035] * 2, *[0.079] * 2, *[0.072] * 2, *[0.062] * 2, *[0.107] * 2,
            *[0.087] * 2, *[0.089] * 2),
)  # fmt: skip
