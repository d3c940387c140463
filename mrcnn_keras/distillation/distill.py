"""Data distillation (appendix B; Radosavovic et al., 2017): a model labels photos to be trained on.

One pass over the photos puts all detections into a file beside the one to be written, from which an interrupted run
goes on. Then the scores are chosen from which on detections are labels, and the labels are written.
"""

import dataclasses
import math
import os
import pathlib
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrcnn_keras.data import Dataset, DatasetReport, PhotosDataset
from mrcnn_keras.distillation.records import Unlabelled, as_record, origin, with_visibility, write_annotations
from mrcnn_keras.distillation.spool import Spool
from mrcnn_keras.distillation.thresholds import ObjectCounts, choose_thresholds, count_objects
from mrcnn_keras.evaluation.keypoints import with_keypoints_of
from mrcnn_keras.evaluation.passes import detect_each


@dataclasses.dataclass(frozen=True)
class DistilledLabels:
    """What `distill` has written.

    Attributes:
        annotation_file: the file in the COCO format.
        image_dir: the folder that its file names start from; None where a dataset was given that has none.
        num_images: images in the file.
        num_objects: class name -> objects in the file.
        labelled: what the labelled images have.
        thresholds: class name -> score from which on a detection is a label; infinity where none is.
        keypoint_threshold: score from which on a keypoint is labelled; None without keypoints.
        report: what was broken among the photos, which are not in the file.
    """

    annotation_file: pathlib.Path
    image_dir: pathlib.Path | None
    num_images: int
    num_objects: dict[str, int]
    labelled: ObjectCounts
    thresholds: dict[str, float]
    keypoint_threshold: float | None
    report: DatasetReport

    def __str__(self) -> str:
        lines = ["class: objects an image in the labelled set, and here, with scores from"]
        for name, count in zip(self.thresholds, self.labelled.objects):
            means = count / max(1, self.labelled.images), self.num_objects[name] / max(1, self.num_images)
            lines.append(f"{name}: {means[0]:.2f}, {means[1]:.2f}, {self.thresholds[name]:.3f}")
        return "\n".join(lines)


def distill(
    model: Any,
    images: str | os.PathLike | Sequence[str | os.PathLike] | Dataset,
    labelled: Dataset,
    out_file: str | os.PathLike,
    *,
    tta: Any = True,
    score_threshold: float | None = None,
    keypoint_threshold: float | None = None,
    batch_size: int = 1,
    verbose: bool = True,
    detect_options: Mapping[str, Any] | None = None,
) -> DistilledLabels:
    """Detect in photos that nobody has labelled, and write what is sure enough as an annotation file.

    How sure is enough is chosen for each class so that the file has as many objects an image as the labelled set has
    (see `choose_thresholds`), and for keypoints so that as many of an object's are labelled. Photos in which nothing is
    kept stay in the file. Memory does not grow with the photos. A stopped run goes on when it is started again; until
    the end its detections are in `out_file` with ".partial" added to the name.

    Args:
        model: `MaskRCNN`, or anything with its `detect`. Its classes and keypoints are found by name, as in
            `evaluate_coco`. Detections below its `score_threshold` cannot be labels.
        images: a folder or files, see `data.PhotosDataset`; or a dataset, whose annotations are not looked at and whose
            `image_name` is the file name in the annotations.
        labelled: what the model was trained on; the file gets its categories.
        out_file: the JSON file to write.
        tta: test-time augmentation, as of `MaskRCNN.detect`; it is what makes the labels better than the model.
        score_threshold: 0..1, in place of the score chosen for each class.
        keypoint_threshold: score from which on a keypoint is visible, in place of the chosen one.
        batch_size: images a batch on each replica, 1 or more.
        verbose: show a progress bar.
        detect_options: further arguments of `detect`.

    Returns: what was written; its `report` names the photos that could not be read.

    Raises:
        ValueError: there are no photos or no labelled images, the classes do not fit, or the ".partial" file is from
            another run.
    """
    if getattr(model, "worker_group", None) is not None:
        raise ValueError("distill works in one process; make the model without a strategy of several")
    source = images if isinstance(images, Dataset) else PhotosDataset(images)
    photos, counts = Unlabelled(source, labelled), count_objects(labelled)
    if counts.images == 0:
        raise ValueError("the labelled dataset has no images; they say how many objects an image has")
    options = {**(detect_options or {}), **({"tta": tta} if tta else {})}
    folder = getattr(source, "folder", getattr(source, "image_dir", None))
    path = pathlib.Path(out_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Spool(path.with_name(f"{path.name}.partial"), origin(model, folder, labelled, options)) as spool:
        _detect_all(model, photos, spool, {"batch_size": batch_size, "verbose": verbose, "detect_options": options})
        labels = _Labels(photos, spool, counts, score_threshold, keypoint_threshold)
        labels.write(path)
        spool.remove()
    return labels.summary(path, folder)


def _detect_all(model: Any, photos: Unlabelled, spool: Spool, options: Mapping[str, Any]) -> None:
    """Put what is found in the photos into the spool, where it is not there yet."""
    stamps = ((spool.stamps.get(photos.image_name(index), ()), photos.stamp(index)) for index in range(len(photos)))
    left = [index for index, (then, now) in enumerate(stamps) if then != now]

    def add(place: int, _: Any, found: Any) -> None:
        if photos.keypoints is None or found.keypoints is None:
            found = dataclasses.replace(found, keypoints=None, keypoint_names=(), keypoint_skeleton=())
        else:
            found = with_keypoints_of(photos.keypoints, found)
        record = as_record(photos.image_name(left[place]), found, photos.category_ids)
        spool.add({**record, "stamp": photos.stamp(left[place])})

    detect_each(model, photos.subset(left), add, doing="labelling", **options)


class _Labels:
    """Which of the records' detections are labels."""

    def __init__(self, photos, spool, counts, score_threshold, keypoint_threshold):
        self.photos, self.counts, self._spool = photos, counts, spool
        self._names = {photos.image_name(index) for index in range(len(photos))}
        self._class_of = {category: number for number, category in enumerate(photos.category_ids)}
        self.num_images, scores = 0, [array("d") for _ in photos.class_names]
        for record in self._records():
            self.num_images += 1
            for one in record["objects"]:
                scores[self._class_of[one["category_id"]]].append(one["score"])
        if score_threshold is None:
            self.thresholds = choose_thresholds(scores, self.num_images, counts.objects, counts.images)
        else:
            self.thresholds = np.full(len(scores), float(score_threshold))
        self.num_objects = [np.count_nonzero(np.asarray(one) >= least) for one, least in zip(scores, self.thresholds)]
        # Where nobody has labelled any, all classes keep them: the categories must stay those of the labelled set.
        self.has_keypoints = ((counts.keypoints > 0) | ~counts.keypoints.any()) & (photos.keypoints is not None)
        self.keypoint_threshold = self._keypoint_threshold() if keypoint_threshold is None else keypoint_threshold

    def write(self, path: pathlib.Path) -> None:
        """Write the annotation file."""
        points = None if self.photos.keypoints is None else self.photos.keypoints.as_category()
        classes = zip(self.photos.category_ids, self.photos.class_names, self.has_keypoints)
        categories = [{"id": int(number), "name": name, **(points if has else {})} for number, name, has in classes]
        thresholds = {name: least if math.isfinite(least) else None
                      for name, least in zip(self.photos.class_names, self.thresholds.tolist())}  # fmt: skip
        info = {"description": "detections of a model as labels", "score_thresholds": thresholds}
        write_annotations(path, self._records(), self._finish, categories, info)

    def summary(self, path: pathlib.Path, folder: Any) -> DistilledLabels:
        """What `distill` returns."""
        names = self.photos.class_names
        return DistilledLabels(
            annotation_file=path,
            image_dir=None if folder is None else pathlib.Path(folder),
            num_images=self.num_images,
            num_objects=dict(zip(names, map(int, self.num_objects))),
            labelled=self.counts,
            thresholds=dict(zip(names, self.thresholds.tolist())),
            keypoint_threshold=self.keypoint_threshold if self.has_keypoints.any() else None,
            report=self.photos.report(),
        )

    def _records(self):
        # Photos that were there when the run was stopped may be gone.
        return (record for record in self._spool if record["file_name"] in self._names)

    def _class_if_kept(self, one: Mapping[str, Any]) -> int | None:
        number = self._class_of[one["category_id"]]
        return number if one["score"] >= self.thresholds[number] else None

    def _keypoint_threshold(self) -> float:
        """As many labelled keypoints an object as people have labelled, of the classes that have some."""
        scores, objects = array("d"), 0
        for one in (one for record in self._records() for one in record["objects"] if "keypoints" in one):
            number = self._class_if_kept(one)
            if number is not None and self.has_keypoints[number]:
                scores.extend(one["keypoints"][2::3])
                objects += 1
        marked = self.counts.keypoints[self.has_keypoints].sum(), self.counts.objects[self.has_keypoints].sum()
        if not marked[0]:
            return math.inf
        return -math.inf if not objects else float(choose_thresholds([scores], objects, marked[:1], marked[1])[0])

    def _finish(self, record: Mapping[str, Any], one: Mapping[str, Any]) -> dict[str, Any] | None:
        number = self._class_if_kept(one)
        if number is None:
            return None
        fields = {name: value for name, value in one.items() if name != "keypoints"}
        if self.has_keypoints[number] and "keypoints" in one:
            size = record["height"], record["width"]
            fields |= with_visibility(one["keypoints"], self.keypoint_threshold, size)
        return fields
