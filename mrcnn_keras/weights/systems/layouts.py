"""How PyTorch arranges the numbers of a tensor, how our variables do, and the way there and back."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Layout:
    """One arrangement; the steps towards ours are taken in the order of the fields, the way back undoes them.

    Attributes:
        classes: where the checkpoint puts the background first: "scores" of the background go to the end, its "boxes"
            (4 rows) or "masks" (1 row) are dropped. "" where the background is last or absent.
        flip_input: input channels are BGR.
        point: a 1x1 convolution's two spatial axes are left out.
        cells: sides of the map that a fully connected layer takes in the order C, H, W; 0 for any other tensor.
        axes: transposition; () for none.
    """

    classes: str = ""
    flip_input: bool = False
    point: bool = False
    cells: int = 0
    axes: tuple[int, ...] = ()

    def to_ours(self, value: np.ndarray) -> np.ndarray:
        """A checkpoint's tensor as our variable has it."""
        if self.classes == "scores":
            value = np.roll(value, -1, axis=0)
        elif self.classes:
            value = value[_BACKGROUND_ROWS[self.classes] :]
        if self.flip_input:
            value = value[:, ::-1]
        if self.point:
            value = value[..., 0, 0]
        if self.cells:
            value = value.reshape(len(value), -1, self.cells, self.cells).transpose(0, 2, 3, 1).reshape(len(value), -1)
        return value.transpose(self.axes) if self.axes else value

    def to_theirs(self, value: np.ndarray) -> np.ndarray:
        """The way back; rows of the background that were dropped come back as zeros."""
        if self.axes:
            value = value.transpose(np.argsort(self.axes))
        if self.cells:
            value = value.reshape(len(value), self.cells, self.cells, -1).transpose(0, 3, 1, 2).reshape(len(value), -1)
        if self.point:
            value = value[..., None, None]
        if self.flip_input:
            value = value[:, ::-1]
        if self.classes == "scores":
            return np.roll(value, 1, axis=0)
        if self.classes:
            background = np.zeros((_BACKGROUND_ROWS[self.classes], *value.shape[1:]), value.dtype)
            return np.concatenate([background, value])
        return value


_BACKGROUND_ROWS = {"boxes": 4, "masks": 1}


def torch_layout(path: str, *, bgr: bool, background_first: bool, cells: int) -> Layout:
    """The layout of PyTorch's tensor for one of our variables.

    Args:
        path: the variable's.
        bgr: the first convolution takes BGR.
        background_first: class 0 is the background.
        cells: sides of the map that `box_head/fc1` takes; 0 where it takes none.
    """
    module, leaf = path.rsplit("/", 1)
    classes = _CLASS_ROWS.get(module, "") if background_first else ""
    if leaf != "kernel":
        return Layout(classes=classes)
    if module == "mask_head/deconv":
        return Layout(axes=(2, 3, 0, 1))
    if module == "mask_head/predictor":
        return Layout(classes=classes, point=True, axes=(1, 0))
    if module == "box_head/fc1":
        return Layout(cells=cells, axes=(1, 0))
    if module in ("box_head/classifier", "box_head/regressor") or module.startswith("box_head/fc"):
        return Layout(classes=classes, axes=(1, 0))
    return Layout(flip_input=bgr and module == "backbone/stem", axes=(2, 3, 1, 0))


_CLASS_ROWS = {"box_head/classifier": "scores", "box_head/regressor": "boxes", "mask_head/predictor": "masks"}
