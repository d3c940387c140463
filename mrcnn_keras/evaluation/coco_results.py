"""Result files as COCO's evaluation server takes them, written while the detections come."""

import contextlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from mrcnn_keras.evaluation.keypoints import with_keypoints_of
from mrcnn_keras.evaluation.passes import detect_each
from mrcnn_keras.evaluation.together import on_chief

# The part of a detection that each file holds besides image, category and score.
_PARTS = {"bbox": "bbox", "segm": "segmentation", "keypoints": "keypoints"}
_PIXEL_DIGITS, _SCORE_DIGITS = 2, 6


def write_coco_results(
    model: Any,
    dataset: Any,
    folder: str | os.PathLike,
    *,
    batch_size: int = 1,
    max_images: int | None = None,
    verbose: bool = True,
    detect_options: Mapping[str, Any] | None = None,
) -> list[pathlib.Path]:
    """Detect on every image of a dataset and write `bbox.json`, `segm.json` and `keypoints.json`, those there are.

    Each is a list of {"image_id", "category_id", "score"} with "bbox" [x, y, width, height], "segmentation" (run
    lengths) or "keypoints" [x, y, score, ...]; pixels are rounded to hundredths. The server wants a file renamed, to
    detections_test-dev2017_NAME_results.json or person_keypoints_test-dev2017_NAME_results.json, and zipped. Memory
    does not grow with the images, and a file appears when it is whole.

    Args:
        model: `MaskRCNN`, or anything with its `detect(images, batch_size=..., masks="rle")`.
        dataset: `mrcnn_keras.data.Dataset`; annotations are not needed, so a file with "images" and "categories" alone,
            such as COCO's image_info_test-dev2017.json, will do. Classes are matched as in `evaluate_coco`.
        folder: made if need be.
        batch_size: images a batch on each replica, 1 or more.
        max_images: only the first so many images; None: all.
        verbose: show a progress bar.
        detect_options: further arguments of `detect`, such as `{"tta": True}`.

    Returns: the files; of several processes, all of which must call this, the chief alone writes and returns them.

    Raises:
        ValueError: the model's classes are neither as many as the dataset's nor have all their names.
    """
    writer = on_chief(model, lambda: CocoResultsWriter(folder))

    def add(index: int, _: Any, found: Any) -> None:
        if writer is None:
            return
        if found.keypoints is not None and dataset.keypoints is not None:
            found = with_keypoints_of(dataset.keypoints, found)
        writer.add(found, dataset.image_id(index), list(dataset.category_ids))

    with writer or contextlib.nullcontext():
        limits = {"batch_size": batch_size, "max_images": max_images, "verbose": verbose}
        detect_each(model, dataset, add, **limits, detect_options=detect_options)
    return [] if writer is None else writer.paths


class CocoResultsWriter:
    """Writes detections into a file for each kind; a context, whose end makes the files appear and older ones go.

    The folder is made if need be.

    Attributes:
        paths: the files, after the end.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.paths: list[pathlib.Path] = []
        self._open: dict[str, Any] = {}

    def __enter__(self) -> "CocoResultsWriter":
        self._file("bbox")  # there even if nothing is found
        return self

    def add(self, found: Any, image_id: Any, category_ids: Sequence[int]) -> None:
        """Write the `Detections` of an image; the arguments are those of its `to_coco`."""
        for kind, there in (("segm", found.has_masks), ("keypoints", found.keypoints is not None)):
            if there:
                self._file(kind)  # even if nothing is found
        for result in found.to_coco(image_id, category_ids):
            common = {"image_id": result["image_id"], "category_id": result["category_id"]}
            common["score"] = round(result["score"], _SCORE_DIGITS)
            for kind, part in _PARTS.items():
                if part in result:
                    self._write(kind, {**common, part: _rounded(result[part])})

    def __exit__(self, error: Any, *_: Any) -> None:
        try:
            for file in self._open.values():
                with file:
                    file.write("\n]\n")
            if error is None:
                self._publish()
        finally:
            for file in self._open.values():
                pathlib.Path(file.name).unlink(missing_ok=True)

    def _publish(self) -> None:
        for kind in _PARTS:
            path = self.folder / f"{kind}.json"
            if kind in self._open:
                os.replace(self._open[kind].name, path)
                self.paths.append(path)
            else:
                path.unlink(missing_ok=True)  # of another model

    def _write(self, kind: str, result: dict[str, Any]) -> None:
        file = self._file(kind)
        file.write(",\n" if file.tell() > 1 else "\n")
        file.write(json.dumps(result))

    def _file(self, kind: str) -> Any:
        if kind not in self._open:
            self._open[kind] = open(self.folder / f".{kind}.partial", "w")  # closed by __exit__
            self._open[kind].write("[")
        return self._open[kind]


def _rounded(value: Any) -> Any:
    return [round(one, _PIXEL_DIGITS) for one in value] if isinstance(value, list) else value
