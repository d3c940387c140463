"""COCO average precision and recall for boxes, masks and keypoints, computed by COCO's own program."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrcnn_keras.evaluation.coco_results import CocoResultsWriter
from mrcnn_keras.evaluation.ground_truth import GroundTruth
from mrcnn_keras.evaluation.keypoints import oks_sigmas, sigmas_for, with_keypoints_of
from mrcnn_keras.evaluation.passes import detect_each
from mrcnn_keras.evaluation.programs import check_backend, class_precisions, run_program
from mrcnn_keras.evaluation.together import on_chief

# Where COCOeval keeps what: the order of its `stats`.
STATISTICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100")
KEYPOINT_STATISTICS = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")


def evaluate_coco(
    model: Any,
    dataset: Any,
    *,
    batch_size: int = 1,
    max_images: int | None = None,
    verbose: bool = True,
    keypoint_sigmas: Sequence[float] | None = None,
    per_class: bool = False,
    backend: str = "auto",
    results_folder: str | os.PathLike | None = None,
    tta: Any = None,
    detect_options: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Detect on every image of a dataset and compute COCO's metrics.

    Images pass through in batches and masks are kept as run lengths, so memory does not grow with the image size.
    The replicas of the strategy that the model was made under share the images. Of a training on several machines all
    processes must call this; each returns the metrics, and the chief alone shows the bar and writes files.

    Args:
        model: `MaskRCNN`, or anything with its `detect(images, batch_size=..., masks="rle")`.
        dataset: `mrcnn_keras.data.Dataset`; crowds are matched as COCO does. Broken images that it skips
            (`skip_broken`) do not count. Its classes are found by name among the model's, which may have more, or by
            number where the names differ and there are as many; its keypoints likewise.
        batch_size: images a batch on each replica, 1 or more.
        max_images: evaluate on the first so many images only; None: all.
        verbose: show a progress bar.
        keypoint_sigmas: COCO's tolerance of each keypoint; None: the model's config's, else the dataset's, else COCO's
            own for 17 keypoints.
        per_class: add "classes" to each kind: class name -> {"AP": ..., "AP50": ..., "AP75": ...}, nan for a class
            without ground truth.
        backend: "pycocotools", or "faster_coco_eval", which gives the same numbers sooner; "auto": that one where it is
            installed.
        results_folder: write the detections there, too, as `write_coco_results` does.
        tta: test-time augmentation, as of `MaskRCNN.detect`.
        detect_options: further arguments of `detect`, such as `{"soft_nms_sigma": 0.5}`; "proposals" may be a file, see
            `data.ProposalFile`.

    Returns:
        `{"bbox": {...}, "segm": {...}}` with "AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10" and "AR100",
        each in 0..1, or nan where there is no ground truth (of that size). "segm" is there when both the model and
        the dataset have masks. "keypoints" is there when both have keypoints, with "AP", "AP50", "AP75", "APm", "APl",
        "AR", "AR50", "AR75", "ARm" and "ARl"; objects without a labelled keypoint count neither way.

    Raises:
        ValueError: the model's classes are neither as many as the dataset's nor have all their names, its keypoints
            likewise, there are no sigmas for the keypoints, the backend is unknown or not installed, or another of the
            processes has failed.
    """
    check_backend(backend)
    builder, results, answers = GroundTruth(dataset), [], _Answers(model, dataset, keypoint_sigmas)
    writer = None if results_folder is None else on_chief(model, lambda: CocoResultsWriter(results_folder))

    def add(index: int, annotations: Any, found: Any) -> None:
        builder.add(index, annotations)
        fitted, place = answers.fitted(found), (dataset.image_id(index), builder.category_ids)
        results.extend(fitted.to_coco(*place))
        if writer is not None:
            writer.add(fitted, *place)

    with writer or contextlib.nullcontext():
        limits = {"batch_size": batch_size, "max_images": max_images, "verbose": verbose}
        detect_each(model, dataset, add, **limits, tta=tta, detect_options=detect_options)
    truth, kinds = builder.finish(), answers.kinds()
    return evaluate_results(truth, results, kinds, answers.sigmas, per_class=per_class, backend=backend)


def evaluate_results(
    ground_truth: Any,
    results: Sequence[dict],
    iou_types: Sequence[str] | None = None,
    keypoint_sigmas: Sequence[float] | None = None,
    *,
    per_class: bool = False,
    backend: str = "auto",
) -> dict[str, dict[str, Any]]:
    """COCO's metrics for results in COCO's format.

    Args:
        ground_truth: `pycocotools.coco.COCO`, such as `coco_ground_truth` makes or `COCO(file)`.
        results: dicts as `Detections.to_coco` makes, of all images; may be empty.
        iou_types: "bbox", "segm", "keypoints" or some of them; None: "bbox", "segm" where ground truth and results have
            masks, and "keypoints" where the categories list keypoints and the results have them.
        keypoint_sigmas: COCO's tolerance of each keypoint; None: those of the categories, else COCO's own for 17.
        per_class, backend: as of `evaluate_coco`.

    Returns:
        For each of `iou_types` the metrics that `evaluate_coco` lists. A detection's size is that of the box, of the
        mask, or of the box around its keypoints, as in COCO's result files of each kind.

    Raises:
        ValueError: a result belongs to an image that the ground truth does not have, there are no sigmas, or the
            backend is unknown or not installed.
    """
    check_backend(backend)
    unknown = {r["image_id"] for r in results} - set(ground_truth.imgs)
    if unknown:
        raise ValueError(f"results for images that are not in the ground truth: {sorted(unknown, key=str)[:5]}")
    listing = [one for one in ground_truth.dataset["categories"] if one.get("keypoints")]
    there = {
        "bbox": True,
        "segm": all("segmentation" in one for group in (ground_truth.anns.values(), results) for one in group),
        "keypoints": bool(listing) and all("keypoints" in one for one in results),
    }
    kinds = [kind for kind in (there if iou_types is None else iou_types) if there[kind]]
    sigmas = None
    if "keypoints" in kinds:
        sigmas = oks_sigmas([keypoint_sigmas, listing[0].get("sigmas")], len(listing[0]["keypoints"]))
    return {kind: _statistics(ground_truth, results, kind, sigmas, backend, per_class) for kind in kinds}


class _Answers:
    """Brings detections to the dataset's keypoints, and keeps in mind what the model gives."""

    def __init__(self, model: Any, dataset: Any, keypoint_sigmas: Sequence[float] | None):
        self.keypoints = dataset.keypoints
        self.model, self.given = model, keypoint_sigmas
        self.masks, self.sigmas = True, None

    def fitted(self, found: Any) -> Any:
        self.masks &= found.has_masks
        if found.keypoints is None:
            self.keypoints = None
        elif self.keypoints is not None:
            found = with_keypoints_of(self.keypoints, found)
            if self.sigmas is None:  # found missing now, not after all images
                self.sigmas = sigmas_for(self.keypoints, self.model, self.given)
        return found

    def kinds(self) -> list[str]:
        kinds = {"bbox": True, "segm": self.masks, "keypoints": self.keypoints is not None}
        return [kind for kind, there in kinds.items() if there]


def _statistics(
    ground_truth: Any, results: Sequence[dict], kind: str, sigmas: np.ndarray | None, backend: str, per_class: bool
) -> dict[str, Any]:
    frame = [ground_truth.dataset[key] for key in ("images", "categories")]
    # COCOeval keeps its marks in the annotations, so each kind gets its own dicts (the masks are shared).
    unlabelled = {} if sigmas is None else {"keypoints": [0] * (3 * len(sigmas)), "num_keypoints": 0}
    truth = [{**unlabelled, **one} for one in ground_truth.dataset["annotations"]]
    names = KEYPOINT_STATISTICS if kind == "keypoints" else STATISTICS
    program = run_program(backend, frame, truth, _as_annotations(results, kind), kind, sigmas)
    if program is None:  # no images
        return dict.fromkeys(names, float("nan"))
    stats = program.stats[: len(names)]
    values = {name: float("nan") if value < 0 else float(value) for name, value in zip(names, stats)}
    if per_class:
        values["classes"] = class_precisions(program, {one["id"]: one["name"] for one in frame[1]})
    return values


def _as_annotations(results: Sequence[dict], kind: str) -> list[dict]:
    """What COCO's `loadRes` makes of results: an id and an area, that of the box, mask or keypoints as evaluated."""
    annotations = []
    for number, result in enumerate(results, start=1):
        annotations.append({**result, "id": number, "area": float(_area(result, kind)), "iscrowd": 0})
    return annotations


def _area(result: dict, kind: str) -> float:
    from pycocotools import mask as mask_utils

    if kind == "segm":
        return mask_utils.area(result["segmentation"])
    if kind == "keypoints":
        return np.ptp(result["keypoints"][0::3]) * np.ptp(result["keypoints"][1::3])
    return result["bbox"][2] * result["bbox"][3]
