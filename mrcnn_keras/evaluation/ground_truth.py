"""The annotations of a dataset as pycocotools takes them."""

import contextlib
import io
from typing import Any

import numpy as np

from mrcnn_keras.data.dataset import check_keypoint_count


def coco_ground_truth(dataset: Any, max_images: int | None = None):
    """The annotations of a dataset as a `pycocotools.coco.COCO`, made in memory.

    Image ids are `dataset.image_id(i)`, category ids `dataset.category_ids`, areas those of the annotations.

    Args:
        dataset: `mrcnn_keras.data.Dataset`.
        max_images: only the first so many images; None: all.

    Returns:
        The COCO object; crowds are kept, boxes, masks and keypoints are in the original images' pixels, the last as
        COCO counts them, from the centre of the first pixel. Categories list the keypoints, and their `sigmas` if any.
    """
    builder = GroundTruth(dataset)
    for i in range(len(dataset) if max_images is None else min(len(dataset), max_images)):
        if not dataset.skip_broken:
            builder.add(i, dataset.load_annotations(i))
        elif (sample := dataset.load(i)) is not None:
            builder.add(i, sample[1])
    return builder.finish()


class GroundTruth:
    """Gathers a dataset's annotations image by image."""

    def __init__(self, dataset: Any):
        self.dataset = dataset
        self.category_ids = list(dataset.category_ids)
        self.images: list[dict] = []
        self.annotations: list[dict] = []

    def add(self, index: int, found: Any) -> None:
        image_id = self.dataset.image_id(index)
        height, width = (int(side) for side in found.size)
        self.images.append({"id": image_id, "height": height, "width": width})
        if len(found) and self.dataset.keypoints is not None:
            check_keypoint_count(found.keypoints, self.dataset.keypoints)
        for row, (x1, y1, x2, y2) in enumerate(np.asarray(found.boxes, float).tolist()):
            annotation = {
                "id": len(self.annotations) + 1,  # COCOeval takes the id 0 for "not matched"
                "image_id": image_id,
                "category_id": self.category_ids[int(found.class_ids[row])],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": float(found.areas[row]),
                "iscrowd": int(found.is_crowd[row]),
            }
            if found.masks is not None:
                annotation["segmentation"] = found.masks[row]
            if self.dataset.keypoints is not None:
                annotation |= _as_coco(found.keypoints[row])
            self.annotations.append(annotation)

    def finish(self):
        names = zip(self.category_ids, self.dataset.class_names)
        extra = {} if self.dataset.keypoints is None else self.dataset.keypoints.as_category()
        categories = [{"id": i, "name": name, **extra} for i, name in names]
        return make_coco(self.images, categories, self.annotations)


def make_coco(images: list[dict], categories: list[dict], annotations: list[dict], kind: Any = None):
    """A `pycocotools.coco.COCO`, or one of another `kind`, of the parts of an annotation file; prints nothing."""
    if kind is None:
        from pycocotools.coco import COCO as kind

    coco = kind()
    coco.dataset = {"info": {}, "images": images, "categories": categories, "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _as_coco(points: np.ndarray) -> dict:
    """The fields of an annotation that hold its keypoints (J, 3)."""
    labelled = points[:, 2] > 0
    # COCO counts pixels from 0 at their centre, we from 0 at the image's border.
    moved = np.where(labelled[:, None], points - np.array([0.5, 0.5, 0], np.float32), 0)
    return {"keypoints": moved.ravel().tolist(), "num_keypoints": int(labelled.sum())}
