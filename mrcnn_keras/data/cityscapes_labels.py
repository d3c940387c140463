"""Cityscapes' label ids and instance ids, by the official cityscapesscripts."""

import pathlib
from collections.abc import Sequence

import numpy as np

# What `class_table` holds for ids that are no object of a class, and for ids of no label at all.
NO_OBJECT, UNKNOWN = -1, -2


def known_labels() -> list:
    """All labels of `cityscapesscripts.helpers.labels`.

    Raises:
        ImportError: cityscapesscripts is not installed.
    """
    try:
        from cityscapesscripts.helpers.labels import labels
    except ImportError as error:
        raise ImportError("Cityscapes needs cityscapesscripts: pip install mrcnn-keras[cityscapes]") from error
    return labels


def instance_labels() -> list:
    """The labels whose objects are evaluated: person, rider, car, truck, bus, train, motorcycle and bicycle.

    Raises:
        ImportError: cityscapesscripts is not installed.
    """
    return [label for label in known_labels() if label.hasInstances and not label.ignoreInEval]


def label_ids(class_names: Sequence[str]) -> tuple[int, ...]:
    """The label id of each class.

    Raises:
        ValueError: a name is no label of Cityscapes.
    """
    ids = {label.name: label.id for label in known_labels()}
    for name in class_names:
        if name not in ids:
            names = ", ".join(label.name for label in instance_labels())
            raise ValueError(f"class {name!r} is no label of Cityscapes; those with instances are {names}")
    return tuple(ids[name] for name in class_names)


def class_table() -> np.ndarray:
    """For each id of an instance image, label id or 1000 * label id + number, the class 0..7: int8 (I,).

    Other known ids have `NO_OBJECT`, ids of no label `UNKNOWN`, as the last entry has, which stands for all above it.
    """
    labels, classes = known_labels(), [label.id for label in instance_labels()]
    table = np.full(1000 * (max(label.id for label in labels) + 1) + 1, UNKNOWN, np.int8)
    for label in labels:
        value = classes.index(label.id) if label.id in classes else NO_OBJECT
        if label.id < 0:  # never drawn
            continue
        table[label.id] = value
        if label.hasInstances:
            table[1000 * label.id : 1000 * (label.id + 1)] = value
    return table


def draw_instance_ids(path: pathlib.Path, size: tuple[int, int]) -> np.ndarray:
    """The instance image that cityscapesscripts makes of a *_gtFine_polygons.json: int32 (H, W).

    The outlines are Pillow's, which may differ by a pixel from those of the published images, made by an old one.

    Args:
        path: the file.
        size: (height, width) in pixels that it must be for.

    Raises:
        ValueError: the file is damaged, or for another size.
    """
    from cityscapesscripts.helpers.annotation import Annotation

    # Not json2instanceImg, which saves its picture in a mode that Pillow 13 no longer writes as PNG.
    from cityscapesscripts.preparation.json2instanceImg import createInstanceImage

    annotation = Annotation()
    try:
        annotation.fromJsonText(path.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError) as error:
        raise ValueError(f"cannot read polygons {path}: {type(error).__name__}: {error}") from error
    if (annotation.imgHeight, annotation.imgWidth) != size:
        found = (annotation.imgHeight, annotation.imgWidth)
        raise ValueError(f"polygons {path} are for (height, width) = {found}, the image is {size}")
    _check_objects(path, annotation.objects)
    try:
        return np.array(createInstanceImage(annotation, "ids"))
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"cannot draw polygons {path}: {error}") from error


def _check_objects(path: pathlib.Path, objects: list) -> None:
    # cityscapesscripts ends the process at an unknown label.
    names = {label.name for label in known_labels()}
    for number, one in enumerate(objects):
        if one.deleted:
            continue
        if one.label not in names and one.label.removesuffix("group") not in names:
            raise ValueError(f"polygons {path}: object {number} has the label {one.label!r}, which is not Cityscapes'")
        if len(one.polygon) < 2:
            raise ValueError(f"polygons {path}: object {number} ({one.label}) has {len(one.polygon)} points")
