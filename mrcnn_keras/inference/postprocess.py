"""The network's padded output -> `Detections` in the frame of each image."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrcnn_keras.inference.detections import Detections
from mrcnn_keras.inference.paste import paste_mask_rles, paste_masks

MASK_FORMS = ("bitmap", "rle", None)


def to_detections(
    outputs: Mapping[str, np.ndarray],
    image_sizes: np.ndarray,
    original_sizes: np.ndarray,
    class_names: Sequence[str],
    mask_threshold: float = 0.5,
    masks: str | None = "bitmap",
    score_threshold: float | None = None,
    images: Sequence[Any] | None = None,
) -> list[Detections]:
    """Take padding off, scale boxes to the original images, clip them, drop empty ones and paste the masks.

    Args:
        outputs: arrays or tensors of a batch: `boxes` (B, D, 4) xyxy in the resized images, `scores` (B, D),
            `class_ids` (B, D) with -1 in padding rows, and, from a model with masks, `mask_probs` (B, D, M, M).
        image_sizes: (B, 2) [height, width] of the resized images before padding.
        original_sizes: (B, 2) [height, width] of the images that the detections shall fit.
        class_names: name of each class.
        mask_threshold: probability from which on a pixel is part of the mask, 0..1.
        masks: "bitmap" sets `Detections.masks`, "rle" sets `Detections.rles`, None neither.
        score_threshold: keep only detections above this score, 0..1; None keeps all.
        images: the original images (arrays, paths or PIL images), to be kept for plotting.

    Returns:
        One `Detections` for each image, in the order of the network's output (best first).

    Raises:
        ValueError: `masks` is none of the three.
    """
    if masks not in MASK_FORMS:
        raise ValueError(f"masks={masks!r}: expected one of {', '.join(map(repr, MASK_FORMS))}")
    arrays = {name: np.asarray(value) for name, value in outputs.items() if name in _USED}
    found = []
    for i, (resized, original) in enumerate(zip(np.asarray(image_sizes, np.float32), np.asarray(original_sizes))):
        one = _in_image({name: value[i] for name, value in arrays.items()}, resized, original, score_threshold)
        size = (int(original[0]), int(original[1]))
        pasted = _pasted(one, size, mask_threshold, masks)
        image = None if images is None else images[i]
        rows = (one["boxes"], one["scores"], one["class_ids"])
        found.append(Detections(*rows, tuple(class_names), size=size, image=image, **pasted))
    return found


_USED = ("boxes", "scores", "class_ids", "mask_probs")


def _in_image(one: dict[str, np.ndarray], resized: np.ndarray, original: np.ndarray, threshold: float | None) -> dict:
    """The rows of one image that are detections, with boxes that fit the original image."""
    boxes = _fit_boxes(one["boxes"].astype(np.float32), resized, original)
    keep = (one["class_ids"] >= 0) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # NaN is not larger either
    if threshold is not None:
        keep &= one["scores"] > threshold
    return {name: value[keep] for name, value in (one | {"boxes": boxes}).items()}


def _fit_boxes(boxes: np.ndarray, resized: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Boxes of the resized image in the original one, cut at its border."""
    height, width = original.astype(np.float32)
    scale = np.array([width / resized[1], height / resized[0]] * 2, np.float32)
    return np.clip(boxes * scale, 0, np.array([width, height] * 2, np.float32))


def _pasted(one: dict[str, np.ndarray], size: tuple[int, int], threshold: float, form: str | None) -> dict:
    if form is None or "mask_probs" not in one:
        return {}
    if form == "rle":
        return {"rles": paste_mask_rles(one["mask_probs"], one["boxes"], size, threshold)}
    return {"masks": paste_masks(one["mask_probs"], one["boxes"], size, threshold)}
