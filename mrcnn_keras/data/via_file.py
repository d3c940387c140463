"""The JSON files that the VGG Image Annotator writes: images by key, and the attributes of a project."""

import pathlib
from collections.abc import Hashable, Iterator
from typing import Any

from mrcnn_keras.data.files import read_json


def read_via(path: pathlib.Path) -> tuple[dict[str, dict], dict[str, dict]]:
    """The images of a file of VIA 1 or 2 by their key, and the region attributes that a project declares.

    Raises:
        ValueError: the file is not JSON of VIA 1 or 2; the message names it and, if known, what else it is.
    """
    content = read_json(path)
    images = _dict(content.get("_via_img_metadata", content))
    if not any("filename" in _dict(one) for one in images.values()):
        raise ValueError(f"annotation file {path} is not of VIA 1 or 2: {_what_it_is(content)}")
    return images, _dict(_dict(content.get("_via_attributes")).get("region"))


def regions_of(entry: dict) -> Iterator[tuple[Hashable, dict]]:
    """The regions of an image with their numbers: a list, or in VIA 1 an object with the numbers as keys."""
    found = _dict(entry).get("regions")
    if isinstance(found, list):
        yield from enumerate(found)
    for key, region in _dict(found).items():
        yield int(key) if key.isdecimal() else key, region


def options_of(attribute: dict | None) -> tuple[str, ...]:
    """The values that a declared attribute can have, in the project's order; none if any."""
    return tuple(name.strip() for name in _dict(_dict(attribute).get("options")) if name.strip())


def _dict(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


def _what_it_is(content: dict) -> str:
    if {"images", "annotations"} <= set(content):
        return "it looks like a COCO file, which CocoDataset reads"
    if "shapes" in content:
        return "it looks like a file of LabelMe; LabelMeDataset reads its folder"
    if {"metadata", "file"} <= set(content):
        return "it looks like a project of VIA 3; annotate with VIA 2"
    return "it has no image with a 'filename'"
