"""Detections as files that Cityscapes' instance evaluation and its server read."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from mrcnn_keras.data import rle
from mrcnn_keras.data.cityscapes_labels import label_ids
from mrcnn_keras.evaluation.passes import detect_each
from mrcnn_keras.evaluation.together import on_chief

_MASK_FOLDER = "masks"


def write_cityscapes_results(
    model: Any,
    dataset: Any,
    out: str | os.PathLike,
    *,
    batch_size: int = 1,
    verbose: bool = True,
    detect_options: Mapping[str, Any] | None = None,
) -> pathlib.Path:
    """Detect on every image of a dataset and write the result folder of Cityscapes' instance-level task.

    `<image>.txt` has a line "masks/<image>_<number>.png <label id> <score>" for each detection; the mask's pixels are
    white. Packed into a .zip, the folder of the split "test" is what the evaluation server takes.

    Args:
        model: `MaskRCNN`, or anything with its `detect(images, batch_size=..., masks="rle")`.
        dataset: `CityscapesDataset`, or another with Cityscapes' class and file names. Its classes are found among the
            model's as in `evaluate_coco`. Broken images that it skips (`skip_broken`) get no file.
        out: folder to write to, new or empty.
        batch_size: images a batch on each replica, 1 or more.
        verbose: show a progress bar.
        detect_options: further arguments of `detect`, such as `{"tta": True}`.

    Returns:
        The folder; of several processes, all of which must call this, the chief alone writes.

    Raises:
        ImportError: cityscapesscripts is not installed.
        ValueError: `out` has something in it, the model gives no masks, or the class names do not fit.
    """
    ids, folder = label_ids(dataset.class_names), on_chief(model, lambda: empty_folder(out))

    def write(index: int, _: Any, found: Any) -> None:
        if folder is not None:
            write_image(found, dataset.image_name(index), ids, folder)

    detect_each(model, dataset, write, batch_size=batch_size, verbose=verbose, detect_options=detect_options)
    return pathlib.Path(out)


def write_image(found: Any, image_name: str, ids: tuple[int, ...], folder: pathlib.Path) -> pathlib.Path:
    """Write the detections of one image.

    Args:
        found: `Detections` with masks.
        image_name: file name of the image.
        ids: Cityscapes' label id of each class.
        folder: folder to write to; there already.

    Returns:
        The text file that lists the masks.

    Raises:
        ValueError: there are no masks, or the format cannot take the name.
    """
    from PIL import Image

    if not found.has_masks:
        raise ValueError(f"no masks for image {image_name!r}; Cityscapes evaluates masks: use a model with a mask head")
    if " " in image_name:
        raise ValueError(f"image {image_name!r}: Cityscapes' result format allows no space in file names; rename it")
    stem, lines = pathlib.PurePath(image_name).stem, []
    (folder / _MASK_FOLDER).mkdir(exist_ok=True)
    for number, mask in enumerate(found.to_rles()):
        path = f"{_MASK_FOLDER}/{stem}_{number}.png"
        Image.fromarray(rle.columns(mask, 0, mask["size"][1]).T.astype(bool)).save(folder / path)
        lines.append(f"{path} {ids[int(found.class_ids[number])]} {float(found.scores[number])}\n")
    listing = folder / f"{stem}.txt"
    listing.write_text("".join(lines))
    return listing


def empty_folder(path: str | os.PathLike) -> pathlib.Path:
    """The folder, made where it is not there; ValueError where it has something in it, which would count as results."""
    folder = pathlib.Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ValueError(f"out={str(path)!r} is not empty; give a new folder, for old results would be mixed in")
    return folder
