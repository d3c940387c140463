"""Class-wise layers from one set of classes to another (appendix A: from COCO to Cityscapes)."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

BY_NAME = "names"


def class_axes(config: Any) -> dict[str, tuple[int, int, int]]:
    """How the last axis of each class-wise layer of a model is made up.

    Args:
        config: `MaskRCNNConfig`.

    Returns: path of the layer -> (cells, background, numbers): for each cell of the result, for each class and (if 1)
    the background behind them, so many numbers. Class-agnostic layers are not in it.
    """
    axes = {"box_head/classifier": (1, 1, 1)}
    if not config.box_class_agnostic:
        axes["box_head/regressor"] = (1, 0, 4)
    if not config.mask_class_agnostic:
        cells = (2 * config.mask_pool_size) ** 2 if config.mask_head == "mlp" else 1
        axes["mask_head/predictor"] = (cells, int(config.mask_loss == "softmax"), 1)
    return axes


@dataclasses.dataclass(frozen=True)
class ClassMap:
    """Which class of a model takes the weights of which class of a checkpoint.

    Attributes:
        pairs: (class of the model, class of the checkpoint).
        names, source_names: all classes of the model and of the checkpoint.
        axes: of `class_axes`.
    """

    pairs: tuple[tuple[str, str], ...]
    names: tuple[str, ...]
    source_names: tuple[str, ...]
    axes: Mapping[str, tuple[int, int, int]]

    def covers(self, path: str) -> bool:
        """Whether a variable has an axis of classes."""
        return path.rsplit("/", 1)[0] in self.axes

    def new_value(self, path: str, fresh: np.ndarray, old: np.ndarray) -> np.ndarray | None:
        """The value of a covered variable: fresh, with the rows of the paired classes and the background copied.

        Returns: None where its axis does not fit the classes.
        """
        cells, background, width = self.axes[path.rsplit("/", 1)[0]]
        expected = [cells * (len(names) + background) * width for names in (self.names, self.source_names)]
        if [fresh.shape[-1], old.shape[-1]] != expected or fresh.shape[:-1] != old.shape[:-1]:
            return None
        new = np.array(fresh).reshape(-1, cells, len(self.names) + background, width)
        rows = np.asarray(old).reshape(-1, cells, len(self.source_names) + background, width)
        for ours, theirs in self.pairs:
            new[:, :, self.names.index(ours)] = rows[:, :, self.source_names.index(theirs)]
        if background:
            new[:, :, -1] = rows[:, :, -1]
        return new.reshape(fresh.shape)


def match_classes(
    class_map: Mapping[str, str] | str,
    names: Sequence[str],
    source_names: Sequence[str],
    axes: Mapping[str, tuple[int, int, int]],
) -> ClassMap:
    """Pair the classes of a model with those of a checkpoint.

    Args:
        class_map: class of the model -> class of the checkpoint, or "names" for all that have the same name in both.
        names: classes of the model.
        source_names: classes of the checkpoint.
        axes: of `class_axes`.

    Raises:
        ValueError: a class that one of them does not have, or a checkpoint whose classes have no names.
    """
    if not source_names:
        raise ValueError("class_map needs the names of the checkpoint's classes: pass source_class_names=[...]")
    if isinstance(class_map, str):
        if class_map != BY_NAME:
            raise ValueError(f"class_map={class_map!r}: expected {BY_NAME!r} or a dict of class names")
        class_map = {name: name for name in names if name in source_names}
    for given, known, whose in (
        (class_map.keys(), names, "the model"),
        (class_map.values(), source_names, "the checkpoint"),
    ):
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=3) or list(known)[:5]
                raise ValueError(f"class_map: {whose} has no class {name!r}; it has {', '.join(near)}, ...")
    return ClassMap(tuple(class_map.items()), tuple(names), tuple(source_names), axes)
