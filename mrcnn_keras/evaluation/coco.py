"""COCO average precision and recall for boxes and masks, computed by pycocotools."""

import contextlib
import dataclasses
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

# Where COCOeval keeps what: the order of its `stats`.
STATISTICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100")
_HEADINGS = {"bbox": "boxes", "segm": "masks", "keypoints": "keypoints"}


def evaluate_coco(
    model: Any, dataset: Any, *, batch_size: int = 1, max_images: int | None = None, verbose: bool = True
) -> dict[str, dict[str, float]]:
    """Detect on every image of a dataset and compute COCO's metrics.

    Images pass through in batches and masks are kept as run lengths, so memory does not grow with the image size.

    Args:
        model: `MaskRCNN`, or anything with its `detect(images, batch_size=..., masks="rle")`.
        dataset: `mrcnn_keras.data.Dataset`; crowds are matched as COCO does. Broken images that it skips
            (`skip_broken`) do not count. Its classes are found by name among the model's, which may have more, or by
            number where the names differ and there are as many.
        batch_size: images a batch, 1 or more.
        max_images: evaluate on the first so many images only; None: all.
        verbose: show a progress bar.

    Returns:
        `{"bbox": {...}, "segm": {...}}` with "AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10" and "AR100",
        each in 0..1, or nan where there is no ground truth (of that size). "segm" is there when both the model and
        the dataset have masks.

    Raises:
        ValueError: the model's classes are neither as many as the dataset's nor have all their names.
    """
    count = len(dataset) if max_images is None else min(len(dataset), max_images)
    builder, results, with_masks = _GroundTruth(dataset), [], True
    with _progress(range(0, count, batch_size), verbose) as starts:
        for start in starts:
            samples = {i: dataset.load(i) for i in range(start, min(start + batch_size, count))}
            samples = {i: sample for i, sample in samples.items() if sample is not None}  # broken ones are skipped
            images = [image for image, _ in samples.values()]
            detected = model.detect(images, batch_size=batch_size, masks="rle") if images else []
            for (i, (_, annotations)), found in zip(samples.items(), detected, strict=True):
                found = _in_classes_of(dataset, found)
                builder.add(i, annotations)
                results += found.to_coco(dataset.image_id(i), builder.category_ids)
                with_masks &= found.has_masks
    return evaluate_results(builder.finish(), results, None if with_masks else ("bbox",))


def coco_ground_truth(dataset: Any, max_images: int | None = None):
    """The annotations of a dataset as a `pycocotools.coco.COCO`, made in memory.

    Image ids are `dataset.image_id(i)`, category ids `dataset.category_ids`, areas those of the annotations.

    Args:
        dataset: `mrcnn_keras.data.Dataset`.
        max_images: only the first so many images; None: all.

    Returns:
        The COCO object; crowds are kept, boxes and masks are in the original images' pixels.
    """
    builder = _GroundTruth(dataset)
    for i in range(len(dataset) if max_images is None else min(len(dataset), max_images)):
        if not dataset.skip_broken:
            builder.add(i, dataset.load_annotations(i))
        elif (sample := dataset.load(i)) is not None:
            builder.add(i, sample[1])
    return builder.finish()


def evaluate_results(
    ground_truth: Any, results: Sequence[dict], iou_types: Sequence[str] | None = None
) -> dict[str, dict[str, float]]:
    """COCO's metrics for results in COCO's format.

    Args:
        ground_truth: `pycocotools.coco.COCO`, such as `coco_ground_truth` makes.
        results: dicts as `Detections.to_coco` makes, of all images; may be empty.
        iou_types: "bbox" and / or "segm"; None: "bbox", and "segm" where ground truth and results have masks.

    Returns:
        For each of `iou_types` the metrics that `evaluate_coco` lists.

    Raises:
        ValueError: a result belongs to an image that the ground truth does not have.
    """
    unknown = {r["image_id"] for r in results} - set(ground_truth.imgs)
    if unknown:
        raise ValueError(f"results for images that are not in the ground truth: {sorted(unknown, key=str)[:5]}")
    have_masks = all("segmentation" in one for group in (ground_truth.anns.values(), results) for one in group)
    if iou_types is None:
        iou_types = ("bbox", "segm")
    return {kind: _statistics(ground_truth, results, kind) for kind in iou_types if kind != "segm" or have_masks}


def format_table(metrics: dict[str, dict[str, float]], title: str = "COCO metrics", console: Any = None) -> None:
    """Print metrics as a table of percentages, a row for boxes and one for masks.

    Args:
        metrics: what `evaluate_coco` returns.
        title: line above the table.
        console: `rich.console.Console` to print to; by default standard output.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    table.add_column("")
    names = list(dict.fromkeys(name for values in metrics.values() for name in values))
    for name in names:
        table.add_column(name, justify="right", style="bold" if name == "AP" else None)
    for kind, values in metrics.items():
        cells = (values.get(name, np.nan) for name in names)
        table.add_row(_HEADINGS.get(kind, kind), *("-" if np.isnan(v) else f"{100 * v:.1f}" for v in cells))
    (console or Console()).print(table)


class _GroundTruth:
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
            self.annotations.append(annotation)

    def finish(self):
        names = zip(self.category_ids, self.dataset.class_names)
        categories = [{"id": i, "name": name} for i, name in names]
        return _coco(self.images, categories, self.annotations)


def _coco(images: list[dict], categories: list[dict], annotations: list[dict]):
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {"info": {}, "images": images, "categories": categories, "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _statistics(ground_truth: Any, results: Sequence[dict], kind: str) -> dict[str, float]:
    from pycocotools.cocoeval import COCOeval

    found = _coco(ground_truth.dataset["images"], ground_truth.dataset["categories"], _as_annotations(results, kind))
    # COCOeval keeps its marks in the annotations, so each kind gets its own dicts (the masks are shared).
    truth = _coco(*(ground_truth.dataset[key] for key in ("images", "categories")),
                  [dict(one) for one in ground_truth.dataset["annotations"]])  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, found, kind)
        if not evaluation.params.imgIds:
            return dict.fromkeys(STATISTICS, float("nan"))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = evaluation.stats[: len(STATISTICS)]
    return {name: float("nan") if value < 0 else float(value) for name, value in zip(STATISTICS, values)}


def _as_annotations(results: Sequence[dict], kind: str) -> list[dict]:
    """What COCO's `loadRes` makes of results: an id and an area, that of the box or of the mask as evaluated."""
    from pycocotools import mask as mask_utils

    annotations = []
    for number, result in enumerate(results, start=1):
        area = mask_utils.area(result["segmentation"]) if kind == "segm" else result["bbox"][2] * result["bbox"][3]
        annotations.append({**result, "id": number, "area": float(area), "iscrowd": 0})
    return annotations


@contextlib.contextmanager
def _progress(steps: Sequence[int], verbose: bool) -> Iterator[Any]:
    if not verbose:
        yield steps
        return
    from rich import progress as bars

    columns = (bars.TextColumn("evaluating"), bars.BarColumn(), bars.MofNCompleteColumn(), bars.TextColumn("batches"),
               bars.TimeElapsedColumn(), bars.TextColumn("left"), bars.TimeRemainingColumn())  # fmt: skip
    with bars.Progress(*columns) as progress:
        yield progress.track(steps)


def _in_classes_of(dataset: Any, found: Any) -> Any:
    """Detections with the dataset's class ids; those of classes that it does not have are left out."""
    names, own = tuple(dataset.class_names), tuple(found.class_names)
    if names == own:
        return found
    if set(names) <= set(own):
        ids = np.array([names.index(name) if name in names else -1 for name in own])[found.class_ids]
        return dataclasses.replace(found[ids >= 0], class_ids=ids[ids >= 0], class_names=names)
    if len(names) != len(own):
        raise ValueError(
            f"the model has {len(own)} classes, but the dataset {len(names)}: "
            f"{', '.join(names[:5])}...; train or load a model for these classes"
        )
    return found
