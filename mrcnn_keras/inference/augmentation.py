"""Test-time augmentation (appendix B): which views of an image are looked at."""

import dataclasses
import math
import numbers
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class View:
    """One way to look at an image.

    Attributes:
        scale: factor of the config's `image_min_side` and `image_max_side`.
        mirrored: left to right.
    """

    scale: float = 1.0
    mirrored: bool = False


@dataclasses.dataclass(frozen=True)
class TestTimeAugmentation:
    """Views of each image whose boxes are put together before suppression, and whose masks and keypoints are averaged.

    Attributes:
        scales: factors of the config's `image_min_side` and `image_max_side`, above 0; 0.5 to 1.5 in steps of 0.125 are
            the paper's 400 to 1200 pixels in steps of 100.
        flips: (False, True) for every scale as it is and mirrored, or one of them.

    Raises:
        ValueError: no view, or a scale that is not above 0.
    """

    __test__ = False  # for pytest, which takes classes of such names for tests

    scales: tuple[float, ...] = (0.5, 0.625, 0.75, 0.875, 1.0, 1.125, 1.25, 1.375, 1.5)
    flips: tuple[bool, ...] = (False, True)

    def __post_init__(self):
        for name in ("scales", "flips"):
            given = getattr(self, name)
            if np.ndim(given) != 1 or not all(isinstance(one, numbers.Real) for one in given):
                raise ValueError(f"{name}={given!r}: expected a sequence, such as {getattr(type(self), name)}")
        object.__setattr__(self, "scales", tuple(float(scale) for scale in self.scales))
        object.__setattr__(self, "flips", tuple(bool(flip) for flip in self.flips))
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise ValueError(f"scales={self.scales}: expected one or more numbers above 0")
        if len(set(self.flips)) != len(self.flips) or not self.flips:
            raise ValueError(f"flips={self.flips}: expected (False,), (True,) or (False, True)")

    @property
    def views(self) -> list[View]:
        """All of them, scale by scale."""
        return [View(scale, mirrored) for scale in self.scales for mirrored in self.flips]


ONE_LOOK = TestTimeAugmentation((1.0,), (False,))


def as_augmentation(tta: Any, config: Any) -> TestTimeAugmentation:
    """What `detect` is given as `tta`: None or False for one look, True for the config's.

    Raises:
        ValueError: it is something else.
    """
    if tta is None or tta is False:
        return ONE_LOOK
    if tta is True:
        return TestTimeAugmentation(config.tta_scales, (False, True) if config.tta_flip else (False,))
    if not isinstance(tta, TestTimeAugmentation):
        raise ValueError(f"tta={tta!r}: expected True, None or a TestTimeAugmentation")
    return tta
