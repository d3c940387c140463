"""Detections as lines of the journal, and the COCO-style file made of them."""

import json
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

_OF_IMAGE = ("file_name", "height", "width", "video_id", "frame", "time")


def as_record(found: Any) -> dict[str, Any]:
    """What the journal keeps of the `Detections` of an image or frame."""
    objects = found.to_coco(None)
    for one in objects:
        del one["image_id"]
    height, width = (int(side) for side in found.size)
    return {"height": height, "width": width, "found": objects}


def as_found(record: Mapping[str, Any], categories: Sequence[Mapping[str, Any]]) -> Any:
    """The `Detections` that `as_record` was given; masks are run lengths."""
    from mrcnn_keras.inference import Detections

    objects = record["found"]
    corners = np.array([one["bbox"] for one in objects], float).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    named = next((one for one in categories if "keypoints" in one), {})
    keypoints = None
    if objects and "keypoints" in objects[0]:
        keypoints = np.array([one["keypoints"] for one in objects]).reshape(len(objects), -1, 3) + (0.5, 0.5, 0)
    return Detections(
        boxes=corners,
        scores=[one["score"] for one in objects],
        class_ids=[one["category_id"] - 1 for one in objects],
        class_names=[one["name"] for one in categories],
        rles=[one["segmentation"] for one in objects] if objects and "segmentation" in objects[0] else None,
        keypoints=keypoints,
        size=(record["height"], record["width"]),
        keypoint_names=named.get("keypoints", ()),
        keypoint_skeleton=[(a - 1, b - 1) for a, b in named.get("skeleton", ())],
    )


def make_categories(config: Any) -> list[dict[str, Any]]:
    """The categories of a COCO file for a `MaskRCNNConfig`'s classes, with keypoints where those have names."""
    from mrcnn_keras.data import KeypointSet

    points = {}
    if config.keypoint_names:
        skeleton, sigmas = config.keypoint_skeleton, config.keypoint_sigmas
        points = KeypointSet(config.keypoint_names, skeleton=skeleton, sigmas=sigmas).as_category()
    return [{"id": number, "name": name, **points} for number, name in enumerate(config.names, start=1)]


def write_results(
    path: pathlib.Path,
    records: Callable[[], Iterable[Mapping[str, Any]]],
    categories: Sequence[Mapping[str, Any]],
    videos: Sequence[Mapping[str, Any]] = (),
) -> tuple[int, int]:
    """Write `images`, `categories`, `annotations` and, if there are any, `videos`; the file appears when it is whole.

    One record at a time is in memory.

    Args:
        path: of the file.
        records: gives all records, in the order of the file; called twice. With "file_name", and of frames "video_id",
            "frame" and "time".
        categories, videos: as they are written.

    Returns: how many images and annotations.
    """
    from mrcnn_keras.data.rle import annotation_area

    beside, number = path.with_name(f"{path.name}.new"), 0
    with open(beside, "w") as file:
        file.write("{")
        if videos:
            file.write(f'"videos": {json.dumps(videos)},\n')
        file.write(f'"categories": {json.dumps(categories)},\n"images": [')
        images = 0
        for images, record in enumerate(records(), start=1):
            image = {"id": images, **{name: record[name] for name in _OF_IMAGE if name in record}}
            file.write((",\n" if images > 1 else "\n") + json.dumps(image))
        file.write('\n],\n"annotations": [')
        for image_id, record in enumerate(records(), start=1):
            for one in record["found"]:
                number += 1
                annotation = {"id": number, "image_id": image_id, "iscrowd": 0, "area": annotation_area(one), **one}
                file.write((",\n" if number > 1 else "\n") + json.dumps(annotation))
        file.write("\n]}\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    return images, number
