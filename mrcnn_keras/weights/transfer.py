"""Class-wise layers from one set of classes to another (appendix A: from COCO to Cityscapes)."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence

import numpy as np

BY_NAME = "names"
_KINDS = {"box_head/classifier": "scores", "box_head/regressor": "boxes", "mask_head/predictor": "masks"}


@dataclasses.dataclass(frozen=True)
class ClassMap:
    """Which class of a model takes the weights of which class of a checkpoint.

    Attributes:
        pairs: (class of the model, class of the checkpoint).
        names, source_names: all classes of the model and of the checkpoint.
    """

    pairs: tuple[tuple[str, str], ...]
    names: tuple[str, ...]
    source_names: tuple[str, ...]

    def new_value(self, path: str, fresh: np.ndarray, old: np.ndarray) -> np.ndarray | None:
        """The value of a class-wise variable: fresh, with the rows of the paired classes and the background copied.

        Returns: None where the variable has no class axis, or one that does not fit the classes.
        """
        kind = _KINDS.get(path.rsplit("/", 1)[0])
        if kind is None:
            return None
        width, background = (4, 0) if kind == "boxes" else (1, int(kind == "scores"))
        expected = [(len(names) + background) * width for names in (self.names, self.source_names)]
        if [fresh.shape[-1], old.shape[-1]] != expected or fresh.shape[:-1] != old.shape[:-1]:
            return None
        new = np.array(fresh).reshape(*fresh.shape[:-1], -1, width)
        rows = np.asarray(old).reshape(*old.shape[:-1], -1, width)
        for ours, theirs in self.pairs:
            new[..., self.names.index(ours), :] = rows[..., self.source_names.index(theirs), :]
        if background:
            new[..., -1, :] = rows[..., -1, :]
        return new.reshape(fresh.shape)


def match_classes(class_map: Mapping[str, str] | str, names: Sequence[str], source_names: Sequence[str]) -> ClassMap:
    """Pair the classes of a model with those of a checkpoint.

    Args:
        class_map: class of the model -> class of the checkpoint, or "names" for all that have the same name in both.
        names: classes of the model.
        source_names: classes of the checkpoint.

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
    return ClassMap(tuple(class_map.items()), tuple(names), tuple(source_names))
