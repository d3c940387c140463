"""Checks of one annotation: its fields, its box, and whether box, segmentation and area agree."""

import math
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mrcnn_keras.data.coco import checked_bbox
from mrcnn_keras.data.validation.categories import Category
from mrcnn_keras.data.validation.findings import Note
from mrcnn_keras.data.validation.keypoint_checks import check_keypoints
from mrcnn_keras.data.validation.segmentation_checks import Outline, check_segmentation

# Real annotations stick out of the image, or differ from their box, by a pixel or two: hand-drawn, rounded, or counted
# from pixel centres. Pixels, and for the box's difference also a part of the longer side.
_MAX_OUTSIDE = 2.0
_MAX_DIFFERENCE = 3.0
_MAX_DIFFERENCE_PART = 0.05
# A segmentation thinner than this has a box of no area by right. Pixels.
_THIN = 1.0
# Training keeps a box whose sides are longer than this. Pixels.
_MIN_SIDE = 1e-5
# COCO's own areas differ from the pixels' by a quarter at most, tiny objects apart. Square pixels.
_MAX_AREA_PART = 0.25
_MAX_AREA_DIFFERENCE = 10.0


class Measured(NamedTuple):
    """What statistics need of an annotation; the box, xyxy, and the area in square pixels are None where unusable."""

    category_id: Any
    is_crowd: bool
    box: np.ndarray | None
    area: float | None
    has_segmentation: bool


def check_annotation(
    annotation: dict, size: tuple[int, int] | None, categories: Mapping[Hashable, Category]
) -> tuple[Measured, list[Note]]:
    """What is wrong with an annotation by itself.

    Args:
        annotation: as the annotation file has it.
        size: (height, width) of its image; None: not known, then only what needs no size is checked.
        categories: by id.
    """
    category, notes = _check_fields(annotation, categories)
    box, box_notes = _check_box(annotation)
    segmentation, outline = annotation.get("segmentation"), None
    notes += box_notes
    if segmentation and size is not None:
        outline, outline_notes = check_segmentation(segmentation, size)
        notes += outline_notes
    elif not segmentation and annotation.get("bbox") is not None:
        notes.append(Note("empty_segmentation", f"segmentation is {segmentation!r}"))
    if size is not None:
        notes += _check_place(box, outline, size)
        if category is not None and category.keypoints:
            notes += check_keypoints(annotation.get("keypoints"), len(category.keypoints), size)
    area, area_notes = _check_area(annotation, box, outline)
    box = outline.box if box is None and outline is not None else box
    category_id = None if category is None else category.id
    is_crowd = bool(annotation.get("iscrowd"))
    return Measured(category_id, is_crowd, box, area, bool(segmentation)), notes + area_notes


def _check_fields(annotation: dict, categories: Mapping[Hashable, Category]) -> tuple[Category | None, list[Note]]:
    notes = []
    if annotation.get("id") is None:
        notes.append(Note("missing_field", "the annotation has no id"))
    if annotation.get("iscrowd") not in (None, 0, 1):
        notes.append(Note("malformed_field", f"iscrowd is {annotation['iscrowd']!r}, neither 0 nor 1"))
    if annotation.get("bbox") is None and not annotation.get("segmentation"):
        notes.append(Note("missing_field", "the annotation has neither bbox nor segmentation"))
    category_id = annotation.get("category_id")
    if category_id is None:
        return None, [*notes, Note("missing_field", "the annotation has no category_id")]
    if not isinstance(category_id, Hashable):
        return None, [*notes, Note("malformed_field", f"category_id is {category_id!r:.60}")]
    if category_id not in categories:
        notes.append(Note("unknown_category", f"category_id {category_id!r} is not in 'categories'"))
    return categories.get(category_id), notes


def _check_box(annotation: dict) -> tuple[np.ndarray | None, list[Note]]:
    """float64 (4,) xyxy, or None."""
    bbox = annotation.get("bbox")
    if bbox is None:
        return None, []
    try:
        x, y, width, height = checked_bbox(bbox)
        return np.array([x, y, x + width, y + height], float), []
    except ValueError as error:
        numbers = isinstance(bbox, list) and len(bbox) == 4 and all(isinstance(one, (int, float)) for one in bbox)
        return None, [Note("not_finite" if numbers else "malformed_field", str(error))]


def _check_place(box: np.ndarray | None, outline: Outline | None, size: tuple[int, int]) -> list[Note]:
    notes = _check_pixels(outline, size)
    if box is None:
        return notes
    if (box[2:] - box[:2]).min() <= _MIN_SIDE:
        thin = outline is not None and (outline.box[2:] - outline.box[:2]).min() <= _THIN
        if thin and (box[2:] >= box[:2]).all():
            return notes or [Note("speck", f"bbox {_bbox(box)} has no area")]
        return [*notes, Note("empty_box", f"bbox {_bbox(box)} has no area")]
    height, width = size
    clipped = np.clip(box, 0, [width, height, width, height])
    outside = float(np.abs(box - clipped).max())
    if outside > max(size) or (clipped[2:] - clipped[:2]).min() <= _MIN_SIDE:
        return [*notes, Note("box_outside", f"bbox {_bbox(box)} lies far outside the {width}x{height} image")]
    if outside > _MAX_OUTSIDE:
        found = f"bbox {_bbox(box)} reaches {outside:.1f} pixels out of the {width}x{height} image"
        notes.append(Note("box_clipped", found))
    return notes + (_check_agreement(clipped, outline, size) if outline is not None and outline.pixels else [])


def _check_pixels(outline: Outline | None, size: tuple[int, int]) -> list[Note]:
    if outline is None or outline.pixels or not outline.reaches(size):
        return []
    return [Note("speck", f"the segmentation {outline} covers no pixel")]


def _check_agreement(box: np.ndarray, outline: Outline, size: tuple[int, int]) -> list[Note]:
    height, width = size
    around = np.clip(outline.box, 0, [width, height, width, height])
    difference = float(np.abs(box - around).max())
    near = difference <= max(_MAX_DIFFERENCE, _MAX_DIFFERENCE_PART * float((around[2:] - around[:2]).max()))
    pixels = outline.pixel_box
    if (np.minimum(pixels[2:], box[2:]) <= np.maximum(pixels[:2], box[:2])).any():
        found = f"bbox {_bbox(box)} holds no pixel of the segmentation in {_bbox(around)}"
        return [Note("speck" if near else "mask_outside_box", found)]
    if near:
        return []
    found = f"bbox {_bbox(box)} is up to {difference:.1f} pixels off the segmentation's, {_bbox(around)}"
    return [Note("box_disagrees", found)]


def _check_area(annotation: dict, box: np.ndarray | None, outline: Outline | None) -> tuple[float | None, list[Note]]:
    """The area that evaluation goes by, and what is wrong with the field."""
    measured = None if outline is None else outline.area
    if measured is None and box is not None:
        measured = max(0.0, float((box[2:] - box[:2]).prod()))
    area = annotation.get("area")
    if area is None:
        return measured, []
    if isinstance(area, bool) or not isinstance(area, (int, float)):
        return measured, [Note("area_off", f"area is {area!r:.60}, not a number")]
    if not math.isfinite(area):
        return measured, [Note("not_finite", f"area is {area}")]
    # What a crowd's area means is not agreed upon: COCO's own are neither the mask's nor the box's.
    if outline is None or not outline.pixels or annotation.get("iscrowd") or _is_one_of(area, outline, box):
        return float(area), []
    return float(area), [Note("area_off", f"area is {area:g}, that of the segmentation {measured:.0f} square pixels")]


def _is_one_of(area: float, outline: Outline, box: np.ndarray | None) -> bool:
    # Some programs write the area of the box.
    likely = [outline.area, outline.pixels, *([] if box is None else [float((box[2:] - box[:2]).prod())])]
    return any(abs(area - one) <= max(_MAX_AREA_DIFFERENCE, _MAX_AREA_PART * one) for one in likely)


def _bbox(box: np.ndarray) -> list[float]:
    return np.round([*box[:2], *(box[2:] - box[:2])], 2).tolist()
