"""Cityscapes' instance-level average precision, computed by cityscapesscripts."""

import importlib.util
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

from mrcnn_keras.data.cityscapes import CityscapesDataset
from mrcnn_keras.data.cityscapes_labels import label_ids
from mrcnn_keras.data.dataset import origin
from mrcnn_keras.evaluation.cityscapes_program import InstanceEvaluation
from mrcnn_keras.evaluation.cityscapes_results import empty_folder, write_image
from mrcnn_keras.evaluation.passes import detect_each
from mrcnn_keras.evaluation.together import on_chief


def evaluate_cityscapes(
    model: Any,
    dataset: Any,
    *,
    out: str | os.PathLike | None = None,
    batch_size: int = 1,
    verbose: bool = True,
    tta: Any = None,
    detect_options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Detect on every image of a Cityscapes dataset and compute the benchmark's average precision.

    The numbers are those of cityscapesscripts' command-line program for the same result files, but for one case in
    which it fails: a class whose detections are all ignored, for they lie in groups or regions without a label, while
    none of its objects is found, has a precision of 0. Files are written and matched image by image, so neither memory
    nor, without `out`, the disk fills up. Replicas and processes share the images as in `evaluate_coco`.

    Args:
        model: `MaskRCNN`, or anything with its `detect(images, batch_size=..., masks="rle")`.
        dataset: `CityscapesDataset` or a `subset` of one, with labels. Its classes are found among the model's as in
            `evaluate_coco`. Broken images that it skips (`skip_broken`) do not count.
        out: new or empty folder in which the result files stay, as `write_cityscapes_results` describes them; None: a
            temporary one.
        batch_size: images a batch on each replica, 1 or more.
        verbose: show a progress bar.
        tta: test-time augmentation, as of `MaskRCNN.detect`.
        detect_options: further arguments of `detect`.

    Returns:
        `{"AP": ..., "AP50": ..., "classes": {"person": {"AP": ..., "AP50": ...}, ...}}`, each in 0..1: the mean over
        the overlaps 0.5 to 0.95, and at 0.5. A class without an object of 100 pixels or more has nan and does not count
        in the averages. `format_table(metrics["classes"])` prints the classes.

    Raises:
        ImportError: cityscapesscripts is not installed.
        ValueError: the dataset is another, or has no labels, as the split "test"; `out` has something in it; the model
            gives no masks, or its classes are neither as many as the dataset's nor have all their names.
    """
    check_cityscapes(dataset)
    kept = None if out is None else on_chief(model, lambda: empty_folder(out))
    evaluation, ids = InstanceEvaluation(), label_ids(dataset.class_names)

    def add(index: int, _: Any, found: Any) -> None:
        source, place = origin(dataset, index)
        with tempfile.TemporaryDirectory() as results, tempfile.TemporaryDirectory() as drawn:
            name = source.image_name(place)
            listing = write_image(found, name, ids, kept or pathlib.Path(results))
            evaluation.add(name, listing, source.instance_ids_file(place, drawn))

    detect_each(model, dataset, add, batch_size=batch_size, verbose=verbose, tta=tta, detect_options=detect_options)
    return evaluation.metrics()


def check_cityscapes(dataset: Any) -> None:
    """Whether a dataset can be evaluated on; errors as of `evaluate_cityscapes`."""
    if importlib.util.find_spec("cityscapesscripts") is None:
        raise ImportError('the average precision needs cityscapesscripts: pip install "mrcnn-keras[cityscapes]"')
    for index in range(len(dataset)):
        source, place = origin(dataset, index)
        if not isinstance(source, CityscapesDataset):
            raise ValueError(
                f"a {type(source).__name__} has no Cityscapes labels; evaluate on a CityscapesDataset, "
                "or use evaluate_coco"
            )
        if not source.has_labels(place):
            raise ValueError(
                f"image {source.image_name(place)!r} has no labels: those of the split 'test' are not public; write "
                "results for the server with write_cityscapes_results"
            )
