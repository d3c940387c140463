"""Checks of the categories of an annotation file."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from mrcnn_keras.data.coco_index import keypoint_set
from mrcnn_keras.data.validation.findings import Note


class Category(NamedTuple):
    """A category that annotations can belong to; `keypoints` are the names of its keypoints, maybe none."""

    id: Any
    name: str
    keypoints: tuple[str, ...]


def check_categories(given: Sequence[dict]) -> tuple[dict[Hashable, Category], list[Note]]:
    """The categories by id, and what is wrong with them.

    Args:
        given: as the annotation file has them.
    """
    known: dict[Hashable, Category] = {}
    notes = []
    for number, category in enumerate(given):
        fault = _fault(category, number, known)
        if fault is not None:
            notes.append(fault)
            continue
        name = str(category["name"])
        if name in {one.name for one in known.values()}:
            notes.append(Note("repeated_category_name", f"the category name {name!r} comes twice"))
        try:
            keypoints = keypoint_set(category).names if category.get("keypoints") else ()
        except ValueError as error:
            notes.append(Note("broken_keypoints", str(error)))
            keypoints = ()
        known[category["id"]] = Category(category["id"], name, keypoints)
    different = {one.keypoints for one in known.values() if one.keypoints}
    if len(different) > 1:
        notes.append(Note("mixed_keypoints", f"categories have {len(different)} different lists of keypoints"))
    return known, notes


def _fault(category: dict, number: int, known: dict[Hashable, Category]) -> Note | None:
    for field in ("id", "name"):
        if category.get(field) is None:
            return Note("missing_field", f"entry {number} of 'categories' has no {field}")
    category_id = category["id"]
    # Training sorts the categories by id.
    first = next(iter(known), category_id)
    if not isinstance(category_id, (int, float, str)) or isinstance(category_id, str) != isinstance(first, str):
        kinds = f"id {category_id!r:.60}; ids must be all numbers or all text"
        return Note("malformed_field", f"entry {number} of 'categories' has {kinds}")
    if category_id in known:
        names = f"{known[category_id].name!r} and {category['name']!r}"
        return Note("duplicate_category_id", f"category id {category_id!r} is both {names}")
    return None
