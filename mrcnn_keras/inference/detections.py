"""What was found in one image."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Detections:
    """The objects found in one image, best first; N of them.

    `found[found.scores > 0.7]`, `found[:5]`, `found[[0, 3]]` and `found[2]` are Detections again. Iteration gives them
    one at a time.

    Attributes:
        boxes: (N, 4) float32, xyxy in pixels of the image.
        scores: (N,) float32 in 0..1.
        class_ids: (N,) int, 0..K-1.
        class_names: the names of all K classes; those of the detections are `names`.
        masks: (N, H, W) bool, or None.
        keypoints: (N, P, 3) float32 (x, y, score) in pixels of the image, or None.
        rles: N masks as COCO run lengths, or None; `masks` or `rles` may be set, or neither, or both.
        size: (height, width) of the image; taken from the masks or the image when not given.
        image: for plotting: the image as RGB uint8 array (H, W, 3), its path, or a PIL image; or None.
        keypoint_names: names of the P keypoints; may be empty.
        keypoint_skeleton: pairs of keypoints, 0..P-1, that are drawn as limbs; may be empty.

    Raises:
        ValueError: the arrays do not belong together.
    """

    boxes: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray
    class_names: tuple[str, ...]
    masks: np.ndarray | None = None
    keypoints: np.ndarray | None = None
    rles: list[dict] | None = None
    size: tuple[int, int] | None = None
    image: Any = None
    keypoint_names: tuple[str, ...] = ()
    keypoint_skeleton: tuple[tuple[int, int], ...] = ()

    def __post_init__(self):
        for name, kind in _KINDS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, np.asarray(value, kind))
        object.__setattr__(self, "boxes", self.boxes.reshape(-1, 4))
        object.__setattr__(self, "class_names", tuple(self.class_names))
        object.__setattr__(self, "keypoint_names", tuple(self.keypoint_names))
        object.__setattr__(self, "keypoint_skeleton", tuple((int(a), int(b)) for a, b in self.keypoint_skeleton))
        if self.size is None:
            object.__setattr__(self, "size", _size_of(self))
        _check(self)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Any) -> "Detections":
        rows = np.arange(len(self))[index]  # an IndexError of numpy names what is wrong with the index
        rows = np.atleast_1d(rows)
        changes = {n: None if getattr(self, n) is None else getattr(self, n)[rows] for n in _KINDS}
        changes["rles"] = None if self.rles is None else [self.rles[i] for i in rows]
        return dataclasses.replace(self, **changes)

    def __iter__(self) -> Iterator["Detections"]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        what = f"{len(self) or 'no'} detection{'' if len(self) == 1 else 's'}"
        listed = [f"{name} {score:.2f}" for name, score in zip(self.names[:_LISTED], self.scores)]
        more = [f"and {len(self) - _LISTED} more"] if len(self) > _LISTED else []
        return what + (": " if listed else "") + ", ".join(listed + more)

    def _repr_png_(self) -> bytes | None:  # so that a notebook shows the picture
        return None if self.image is None else self.plot()._repr_png_()

    @property
    def names(self) -> list[str]:
        """Class name of each detection."""
        return [self.class_names[i] for i in self.class_ids]

    @property
    def has_masks(self) -> bool:
        """Whether there are masks, in either form."""
        return self.masks is not None or self.rles is not None

    def to_masks(self) -> np.ndarray | None:
        """Masks as bitmaps, (N, H, W) bool, decoded from `rles` when need be; None where there are none."""
        if self.masks is not None or self.rles is None:
            return self.masks
        from pycocotools import mask as mask_utils

        masks = np.zeros((len(self), *self.size), bool)
        for bitmap, rle in zip(masks, self.rles):
            bitmap[:] = mask_utils.decode(rle)
        return masks

    def to_rles(self) -> list[dict] | None:
        """Masks as compressed COCO run lengths, encoded from `masks` when need be; None where there are none."""
        if self.rles is not None or self.masks is None:
            return self.rles
        from pycocotools import mask as mask_utils

        return [mask_utils.encode(np.asfortranarray(mask, np.uint8)) for mask in self.masks]

    def to_coco(self, image_id: int | str, category_ids: Sequence[int] | None = None) -> list[dict]:
        """Results in the format of the COCO evaluation, ready for `json.dump`.

        Args:
            image_id: the image's id in the annotation file.
            category_ids: the COCO category of each class; by default 1, 2, ... K.

        Returns:
            One dict for each detection: `image_id`, `category_id`, `bbox` [x, y, width, height] in pixels, `score`
            and, where known, `segmentation` (run lengths) and `keypoints` (x, y, score in turn).

        Raises:
            ValueError: `category_ids` does not have one id for each class.
        """
        if category_ids is None:
            category_ids = range(1, len(self.class_names) + 1)
        if len(category_ids) != len(self.class_names):
            raise ValueError(f"{len(category_ids)} category_ids for {len(self.class_names)} classes; give one for each")
        results = []
        for (x1, y1, x2, y2), score, class_id in zip(self.boxes.tolist(), self.scores.tolist(), self.class_ids):
            bbox = [x1, y1, x2 - x1, y2 - y1]
            category = int(category_ids[class_id])
            results.append({"image_id": image_id, "category_id": category, "bbox": bbox, "score": score})
        for result, rle in zip(results, self.to_rles() or ()):
            result["segmentation"] = {"size": [int(n) for n in rle["size"]], "counts": _text(rle["counts"])}
        for result, points in zip(results, () if self.keypoints is None else self.keypoints):
            # COCO counts pixels from 0 at their centre, we from 0 at the image's border.
            result["keypoints"] = (points - np.array([0.5, 0.5, 0], np.float32)).ravel().tolist()
        return results

    def plot(self, image: Any = None, ax: Any = None, **options: Any):
        """Draw masks, boxes, keypoints, names and scores; a notebook shows the figure by itself.

        Args:
            image: RGB uint8 array, path or PIL image; by default the image kept with the detections.
            ax: matplotlib axes to draw in, such as `plt.gca()`; by default a new figure with the image's pixels.
            options: of `mrcnn_keras.visualize.draw_detections`.

        Returns:
            The matplotlib figure.

        Raises:
            ValueError: no image is given or kept, or it has another size than the detections.
        """
        from mrcnn_keras import visualize

        return visualize.plot_detections(self._image(image), self, ax=ax, **options)

    def save_plot(self, path: str | pathlib.Path, image: Any = None, **options: Any) -> pathlib.Path:
        """Draw as `plot` does and write the picture, at the image's own resolution (tiny images are enlarged).

        Args:
            path: the file to write; the ending says which format (.png, .jpg, .webp, .pdf, .svg).
            image: RGB uint8 array, path or PIL image; by default the image kept with the detections.
            options: of `mrcnn_keras.visualize.draw_detections`.

        Returns:
            The path.

        Raises:
            ValueError: no image is given or kept, or it has another size than the detections.
        """
        from mrcnn_keras import visualize

        return visualize.save_detections(self._image(image), self, path, **options)

    def to_supervision(self):
        """Convert to `supervision.Detections`, with the class names under `data["class_name"]`.

        Raises:
            ImportError: the package `supervision` is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise ImportError("to_supervision needs the package supervision: pip install supervision") from error
        return supervision.Detections(
            xyxy=self.boxes,
            mask=self.to_masks(),
            confidence=self.scores,
            class_id=self.class_ids.astype(int),
            data={"class_name": np.array(self.names, dtype=str)},
        )

    def _image(self, image: Any) -> Any:
        image = self.image if image is None else image
        if image is None:
            raise ValueError("there is no image to draw on; pass it: found.plot(image)")
        return image


_LISTED = 5  # detections named by repr
_KINDS = {"boxes": np.float32, "scores": np.float32, "class_ids": np.int32, "masks": bool, "keypoints": np.float32}


def _text(counts: bytes | str) -> str:
    return counts.decode("ascii") if isinstance(counts, bytes) else counts


def _size_of(found: Detections) -> tuple[int, int] | None:
    if found.masks is not None:
        return found.masks.shape[1:]
    if found.rles:
        return tuple(found.rles[0]["size"])
    return found.image.shape[:2] if isinstance(found.image, np.ndarray) else None


def _check(found: Detections) -> None:
    for name in (*_KINDS, "rles"):
        value = getattr(found, name)
        if value is not None and len(value) != len(found):
            raise ValueError(f"{len(found)} boxes, but {len(value)} {name}; expected one for each box")
    if len(found) and not 0 <= found.class_ids.min() <= found.class_ids.max() < len(found.class_names):
        raise ValueError(f"class_ids {sorted(set(found.class_ids.tolist()))} for {len(found.class_names)} class_names")
    if found.masks is not None and (found.masks.ndim != 3 or found.masks.shape[1:] != tuple(found.size)):
        raise ValueError(f"masks of shape {found.masks.shape} for an image of size {tuple(found.size)} (height, width)")
    if found.keypoints is not None and len(found):
        _check_keypoints(found)


def _check_keypoints(found: Detections) -> None:
    if found.keypoints.ndim != 3 or found.keypoints.shape[2] != 3:
        raise ValueError(f"keypoints of shape {found.keypoints.shape}; expected ({len(found)}, P, 3): x, y, score")
    count = found.keypoints.shape[1]
    if found.keypoint_names and len(found.keypoint_names) != count:
        raise ValueError(f"{count} keypoints, but {len(found.keypoint_names)} keypoint_names")
    for limb in found.keypoint_skeleton:
        if not all(0 <= end < count for end in limb):
            raise ValueError(f"limb {limb} of keypoint_skeleton is not in 0..{count - 1}, the {count} keypoints")
