"""The way between an image and the network's input that was made of it."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Frame:
    """How an image lies in the network's input.

    Attributes:
        resized: [height, width] of the resized image in the input.
        original: [height, width] of the image.
        offset: (top, left) of the resized image in the input, pixels.
        inclusive: coordinates scale as matterport does, by the distance of the first and the last pixel, and boxes in
            the image are whole pixels.
        mirrored: the input shows the image mirrored left to right.
    """

    resized: np.ndarray
    original: np.ndarray
    offset: tuple[int, int] = (0, 0)
    inclusive: bool = False
    mirrored: bool = False

    def fit_boxes(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (..., 4) of the input in the image, cut at its border."""
        start, ends, scale = self._change()
        boxes = (boxes - start - ends) * scale + ends
        boxes = np.round(boxes) if self.inclusive else boxes
        height, width = self.original.astype(np.float32)
        boxes = np.clip(boxes, 0, np.array([width, height] * 2, np.float32))
        return self._turned(boxes)

    def place_boxes(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (..., 4) of the image in the input."""
        start, ends, scale = self._change()
        return (self._turned(boxes) - ends) / scale + ends + start

    def fit_points(self, points: np.ndarray) -> np.ndarray:
        """Keypoints (N, J, 3) x, y, score of an input that is not mirrored, in the image."""
        scale = self.original.astype(np.float32) / self.resized
        moved = points - np.array([*self.offset[::-1], 0], np.float32)
        return (moved * np.array([scale[1], scale[0], 1], np.float32)).astype(np.float32)

    def _change(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        last = np.float32(1 if self.inclusive else 0)
        height, width = self.original.astype(np.float32)
        scale = [(width - last) / (self.resized[1] - last), (height - last) / (self.resized[0] - last)]
        ends = np.array([0, 0, last, last], np.float32)
        return np.array(self.offset[::-1] * 2, np.float32), ends, np.array(scale * 2, np.float32)

    def _turned(self, boxes: np.ndarray) -> np.ndarray:
        if not self.mirrored:
            return boxes
        x1, y1, x2, y2 = np.moveaxis(boxes, -1, 0)
        width = np.float32(self.original[1])
        return np.stack([width - x2, y1, width - x1, y2], axis=-1)
