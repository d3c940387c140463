"""How photos are resized and changed at random for training."""

import dataclasses

import numpy as np

from mrcnn_keras.config.checks import check_jitter
from mrcnn_keras.data.annotations import Annotations
from mrcnn_keras.data.color_jitter import drawn_factors, jitter_color
from mrcnn_keras.data.images import resize_image, resized_size
from mrcnn_keras.data.scale_jitter import View, jittered_view, seen


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What happens to a photo, given its `uniform` numbers of `BatchPlan.augmentation`.

    Attributes:
        min_sides: short sides to choose from, pixels.
        max_side: the long side is at most this, pixels.
        flip: mirror half of the photos.
        color_jitter: of brightness, contrast, saturation and hue, see `color_jitter.drawn_factors`.
        scale_jitter: least and most, see `scale_jitter.jittered_view`; empty: `min_sides` and `max_side` say the size.
        crop_size: (height, width) of the images with `scale_jitter`, pixels.
        fixed_shapes: pad to the largest size that images of an orientation can have.
    """

    min_sides: tuple[int, ...]
    max_side: int
    flip: bool = True
    color_jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    scale_jitter: tuple[float, ...] = ()
    crop_size: tuple[int, int] = (1024, 1024)
    fixed_shapes: bool = False

    def __post_init__(self):
        check_jitter(self.color_jitter, self.scale_jitter, self.crop_size)

    def least_size(self, sizes: np.ndarray) -> tuple[int, int]:
        """(height, width) that a batch of images of `sizes` (B, 2) is padded to at least."""
        if self.scale_jitter:
            return self.crop_size
        if not self.fixed_shapes:
            return (1, 1)
        short = min(max(self.min_sides), self.max_side)
        wide = sizes[:, 1] > sizes[:, 0]
        return (short if wide.all() else self.max_side, self.max_side if wide.any() else short)

    @property
    def blank_size(self) -> tuple[int, int]:
        """(height, width) of an image that stands for none."""
        return self.crop_size if self.scale_jitter else (self.min_sides[0], self.min_sides[0])

    def view(self, photo: tuple[int, int], uniform: np.ndarray) -> View:
        """What is seen of a photo of (height, width) pixels, and how large."""
        if self.scale_jitter:
            return jittered_view(photo, self.crop_size, self.scale_jitter, uniform[1:4])
        min_side = self.min_sides[int(uniform[1] * len(self.min_sides))]
        return View((0, 0, photo[1], photo[0]), resized_size(*photo, min_side, self.max_side))

    def mirrors(self, uniform: np.ndarray) -> bool:
        """Whether left and right are swapped."""
        return self.flip and uniform[0] < 0.5

    def objects(self, annotations: Annotations, view: View) -> Annotations:
        """Those that can be learned from in a view, in pixels of the photo."""
        return seen(annotations, view) if self.scale_jitter else annotations

    def image(self, photo: np.ndarray, view: View, uniform: np.ndarray) -> np.ndarray:
        """The view as uint8 (h, w, 3), mirrored where `mirrors` says so."""
        if any(self.color_jitter):
            photo = jitter_color(photo, drawn_factors(self.color_jitter, uniform[4:8]))
        return resize_image(photo, view.size, view.window, self.mirrors(uniform))
