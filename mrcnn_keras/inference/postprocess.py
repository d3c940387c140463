"""The network's padded output -> `Detections` in the frame of each image."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrcnn_keras.data import rle
from mrcnn_keras.inference.detections import Detections
from mrcnn_keras.inference.frames import Frame
from mrcnn_keras.inference.paste import paste_mask_rles, paste_masks
from mrcnn_keras.inference.preprocess import square_offset

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
    mask_paste: str = "exact",
    square_side: int = 0,
    inclusive: bool = False,
    keypoint_names: Sequence[str] = (),
    keypoint_skeleton: Sequence[tuple[int, int]] = (),
) -> list[Detections]:
    """Take padding off, scale boxes to the original images, clip them, drop empty ones and paste the masks.

    Args:
        outputs: arrays or tensors of a batch: `boxes` (B, D, 4) xyxy in the resized images, `scores` (B, D),
            `class_ids` (B, D) with -1 in padding rows, and, where the model has them, `mask_probs` (B, D, M, M), or
            `bitmaps` (B, D, H, W), masks in the original images already, and `keypoints` (B, D, J, 3).
        image_sizes: (B, 2) [height, width] of the resized images before padding.
        original_sizes: (B, 2) [height, width] of the images that the detections shall fit.
        class_names: name of each class.
        mask_threshold: probability from which on a pixel is part of the mask, 0..1.
        masks: "bitmap" sets `Detections.masks`, "rle" sets `Detections.rles`, None neither.
        score_threshold: keep only detections above this score, 0..1; None keeps all.
        images: the original images (arrays, paths or PIL images), to be kept for plotting.
        mask_paste: the rule of `paste_masks`.
        square_side: side of the square that the resized images lie in the middle of; 0: they lie at the top left.
        inclusive: scale boxes as matterport does, by the distance of the first and the last pixel, to whole pixels.
        keypoint_names, keypoint_skeleton: of `Detections`, where there are keypoints.

    Returns:
        One `Detections` for each image, in the order of the network's output (best first).

    Raises:
        ValueError: `masks` is none of the three.
    """
    check_masks(masks)
    arrays = {name: np.asarray(value) for name, value in outputs.items() if name in _USED}
    named, found = {"keypoint_names": keypoint_names, "keypoint_skeleton": keypoint_skeleton}, []
    for i, (resized, original) in enumerate(zip(np.asarray(image_sizes, np.float32), np.asarray(original_sizes))):
        frame = Frame(resized, original, square_offset(resized, square_side) if square_side else (0, 0), inclusive)
        one = _in_image({name: value[i] for name, value in arrays.items()}, frame, score_threshold)
        size = (int(original[0]), int(original[1]))
        pasted = _pasted(one, size, mask_threshold, masks, mask_paste)
        if "keypoints" in one:
            pasted |= {"keypoints": one["keypoints"], **named}
        image = None if images is None else images[i]
        rows = (one["boxes"], one["scores"], one["class_ids"])
        found.append(Detections(*rows, tuple(class_names), size=size, image=image, **pasted))
    return found


def check_masks(masks: str | None) -> None:
    """ValueError if there is no such form of masks."""
    if masks not in MASK_FORMS:
        raise ValueError(f"masks={masks!r}: expected one of {', '.join(map(repr, MASK_FORMS))}")


_USED = ("boxes", "scores", "class_ids", "mask_probs", "bitmaps", "keypoints")


def _in_image(one: dict[str, np.ndarray], frame: Frame, threshold: float | None) -> dict:
    """The rows of one image that are detections, with boxes and keypoints that fit the original image."""
    boxes = frame.fit_boxes(one["boxes"].astype(np.float32))
    if "keypoints" in one:
        one = one | {"keypoints": frame.fit_points(one["keypoints"])}
    keep = (one["class_ids"] >= 0) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # NaN is not larger either
    if threshold is not None:
        keep &= one["scores"] > threshold
    return {name: value[keep] for name, value in (one | {"boxes": boxes}).items()}


def _pasted(one: dict[str, np.ndarray], size: tuple[int, int], threshold: float, form: str | None, rule: str) -> dict:
    if form is not None and "bitmaps" in one:
        return {"rles": [rle.encode(mask) for mask in one["bitmaps"]]} if form == "rle" else {"masks": one["bitmaps"]}
    if form is None or "mask_probs" not in one:
        return {}
    if form == "rle":
        return {"rles": paste_mask_rles(one["mask_probs"], one["boxes"], size, threshold, rule)}
    return {"masks": paste_masks(one["mask_probs"], one["boxes"], size, threshold, rule)}
