"""Datasets written for matterport's Mask_RCNN."""

from typing import Any

import numpy as np

from mrcnn_keras.data.annotations import Annotations, make_annotations
from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.images import read_image

_NEEDED = ("class_info", "image_info", "image_ids", "load_image", "load_mask")


def from_matterport(ds: Any) -> "MatterportDataset":
    """A dataset of this package from an object with the methods of matterport's `mrcnn.utils.Dataset`.

    Its `prepare()` is called if nobody did. Classes lose the background, `BG`. A negative class id marks a crowd, which
    training leaves out, as in matterport's `coco.py`. Objects without a pixel are left out and listed in `report()` as
    dropped. Image ids and names are those of `image_info`; where two images have one id, or only some ids are text, all
    become "source.id".

    Args:
        ds: has `class_info`, `image_info`, `image_ids`, `load_image(image_id)` -> uint8 (H, W), (H, W, 1), (H, W, 3) or
            (H, W, 4), and `load_mask(image_id)` -> (H, W, N), all but zero is the object, with N class ids 1..K or
            -K..-1. matterport's package need not be installed. `load_image` and `load_mask` are called from several
            threads.

    Raises:
        ValueError: `ds` lacks one of these, or has no class beside the background.
    """
    missing = [name for name in _NEEDED if not hasattr(ds, name)]
    if missing:
        raise ValueError(f"{type(ds).__name__} is no dataset of matterport's: it has no {', '.join(missing)}")
    if len(getattr(ds, "class_names", ())) != len(ds.class_info) or len(ds.image_ids) != len(ds.image_info):
        if not hasattr(ds, "prepare"):
            raise ValueError(f"{type(ds).__name__} has no prepare() to give it class_names and image_ids")
        ds.prepare()
    if len(ds.class_names) < 2:
        raise ValueError(f"{type(ds).__name__} has no class beside the background; call its add_class() first")
    known = all(_stated_size(info) for info in ds.image_info)
    return _SizedMatterportDataset(ds) if known else MatterportDataset(ds)


class MatterportDataset(Dataset):
    """What `from_matterport` makes.

    Attributes:
        source: the dataset it reads from.
    """

    def __init__(self, source: Any):
        self.source = source
        self.class_names = tuple(str(name) for name in source.class_names[1:])
        ids = [info.get("id", row) for row, info in enumerate(source.image_info)]
        if len(set(ids)) < len(ids) or len({isinstance(one, str) for one in ids}) > 1:
            ids = [f"{info.get('source')}.{one}" for one, info in zip(ids, source.image_info)]
        self._ids = ids if len(set(ids)) == len(ids) else list(range(len(ids)))

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def category_ids(self) -> tuple[int, ...]:
        """The source's ids of the classes, as of COCO's categories; 1..K where they are not different numbers."""
        ids = tuple(info.get("id") for info in self.source.class_info[1:])
        numbers = all(isinstance(one, (int, np.integer)) for one in ids) and len(set(ids)) == len(ids)
        return tuple(int(one) for one in ids) if numbers else super().category_ids

    def load_image(self, index: int) -> np.ndarray:
        """RGB uint8 (H, W, 3)."""
        image = self.source.load_image(self.source.image_ids[index])
        if not isinstance(image, np.ndarray):
            raise ValueError(f"load_image must return an array, got {type(image).__name__}")
        return read_image(image)

    def load_annotations(self, index: int) -> Annotations:
        """Objects of image `index`; their ids are their places in what `load_mask` returns."""
        masks, class_ids = (np.asarray(one) for one in self.source.load_mask(self.source.image_ids[index]))
        self._check(index, masks, class_ids)
        if not class_ids.size:
            size = masks.shape[:2] if masks.ndim == 3 and min(masks.shape[:2]) else self.image_size(index)
            return make_annotations(size, [], masks=[])
        kept = np.flatnonzero(masks.any(axis=(0, 1)))
        empty = sorted(set(range(len(class_ids))) - set(kept.tolist()))
        name = self.image_name(index)
        notes = [("dropped", f"object {row} of image {name!r}: its mask is empty") for row in empty]
        self._faults.add(index, "annotations", notes)
        chosen = class_ids[kept].astype(np.int64)
        planes = [masks[:, :, row] for row in kept]
        crowd = chosen < 0
        return make_annotations(masks.shape[:2], np.abs(chosen) - 1, masks=planes, is_crowd=crowd, ids=kept.tolist())

    def image_id(self, index: int):
        """The image's "id" in `image_info`."""
        return self._ids[index]

    def image_name(self, index: int) -> str:
        """The image's "path" in `image_info`, else its id."""
        return str(self.source.image_info[index].get("path") or self._ids[index])

    def _check(self, index: int, masks: np.ndarray, class_ids: np.ndarray) -> None:
        name, count = self.image_name(index), len(self.class_names)
        counted = masks.shape[2:] == class_ids.shape if class_ids.size else not masks.size
        if class_ids.ndim != 1 or not counted:
            raise ValueError(
                f"load_mask must return masks (H, W, N) and N class ids, got {masks.shape} and {class_ids.shape} "
                f"for image {name!r}"
            )
        for row, one in enumerate(class_ids.tolist()):
            if class_ids.dtype.kind not in "iuf" or not 1 <= abs(one) <= count or one != int(one):
                expected = f"expected 1..{count}, or for a crowd -{count}..-1"
                raise ValueError(f"object {row} of image {name!r} has class id {one!r}; {expected}")


class _SizedMatterportDataset(MatterportDataset):
    """Where `image_info` has the sizes of all images, training need not load them to learn their orientation."""

    def image_size(self, index: int) -> tuple[int, int]:
        """(height, width) as `image_info` says."""
        return _stated_size(self.source.image_info[index])


def _stated_size(info: dict) -> tuple[int, int] | None:
    size = info.get("height"), info.get("width")
    return tuple(map(int, size)) if all(isinstance(one, (int, np.integer)) and one > 0 for one in size) else None
