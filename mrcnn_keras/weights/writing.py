"""Checkpoints for other programs from our models: Detectron2's `.pkl` and torchvision's `.pth`."""

import os
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from mrcnn_keras.weights.loading import is_counter
from mrcnn_keras.weights.systems import detectron2, torchvision

AUTHOR = "mrcnn_keras"
# The features of the first step of alternating training are not those of the detector.
_ONLY_TRAINED_WITH = "rpn_backbone/", "rpn_fpn/"


def save_checkpoint(model: Any, path: str | os.PathLike) -> pathlib.Path:
    """Write a model's weights under another system's names.

    Such files hold no settings: `MaskRCNNConfig` fields like the stride's place or the kind of RoIAlign have to be set
    in the other system by hand.

    Args:
        model: `MaskRCNN`.
        path: `.pkl` for Detectron2, `.pth` for torchvision; the file appears when it is complete.

    Returns:
        The path.

    Raises:
        ValueError: another ending, or a model with parts that the system does not have.
    """
    path = pathlib.Path(path)
    if path.suffix not in (".pkl", ".pth"):
        raise ValueError(f"{path}: expected a name that ends in .pkl (Detectron2) or .pth (torchvision)")
    if model.config.mask_head != "none" and model.config.mask_loss == "softmax":
        raise ValueError("neither Detectron2 nor torchvision has softmax masks; save the model as a .keras file")
    if model.config.training_stages == "stage_wise":
        raise ValueError("stage-wise training gives the RPN a backbone of its own, which neither Detectron2 nor "
                         "torchvision has; save the model as a .keras file, or train it alternating")  # fmt: skip
    tensors = detectron2_tensors(model) if path.suffix == ".pkl" else torchvision_tensors(model)
    write = _write_pickle if path.suffix == ".pkl" else _write_torch
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(partial, tensors)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def detectron2_tensors(model: Any) -> dict[str, np.ndarray]:
    """Every weight of a model by Detectron2's name, in its layout.

    Raises:
        ValueError: a part that Detectron2 does not have.
    """
    c = model.config
    names = detectron2.name_map("backbone.bottom_up." if c.features == "fpn" else "backbone.", c.rpn_convs > 1)
    return _named(model, names, detectron2.layout, "Detectron2")


def torchvision_tensors(model: Any) -> dict[str, np.ndarray]:
    """Every weight of a model by torchvision's name, in its layout; what it keeps for the background is zero.

    Raises:
        ValueError: a part that torchvision does not have.
    """
    c = model.config
    if c.features != "fpn" or c.box_class_agnostic or c.mask_class_agnostic:
        raise ValueError("torchvision has Mask R-CNN with an FPN and class-specific boxes and masks only")
    convs = c.box_head_layers[0]
    names = torchvision.name_map(torchvision.BODY, convs + 1 if convs else None)
    return _named(model, names, torchvision.layout, "torchvision")


def _named(model: Any, names: Any, layout: Any, system: str) -> dict[str, np.ndarray]:
    c = model.config
    tensors, without = {}, []
    for variable in model.variables:
        if is_counter(variable.path) or variable.path.startswith(_ONLY_TRAINED_WITH):
            continue
        name = names.theirs(variable.path)
        if name is None or (c.norm_bias and _is_bias_under_norm(model, variable.path)):
            without.append(variable.path)
            continue
        arranged = layout(variable.path, c.box_pool_size).to_theirs(variable.numpy())
        tensors[name] = np.ascontiguousarray(arranged)
    if without:
        raise ValueError(f"{system} has no name for {', '.join(without[:5])}{' ...' if len(without) > 5 else ''}")
    return tensors


def _is_bias_under_norm(model: Any, path: str) -> bool:
    layer, leaf = path.rsplit("/", 1)
    return leaf == "bias" and any(v.path.startswith(f"{layer}/norm/") for v in model.variables)


def _write_pickle(path: pathlib.Path, tensors: Mapping[str, np.ndarray]) -> None:
    with open(path, "wb") as file:  # by "__author__" Detectron2 knows that the names are its own
        _Pickler(file, protocol=4).dump({"model": dict(tensors), "__author__": AUTHOR})


class _Pickler(pickle._Pickler):
    """Writes NumPy's names as versions before 2 know them, too."""

    def save_global(self, obj, name=None):
        module = getattr(obj, "__module__", None) or ""
        if not module.startswith("numpy._core"):
            return super().save_global(obj, name)
        self.save(module.replace("numpy._core", "numpy.core"))
        self.save(obj.__qualname__)
        self.write(pickle.STACK_GLOBAL)
        self.memoize(obj)


def _write_torch(path: pathlib.Path, tensors: Mapping[str, np.ndarray]) -> None:
    """PyTorch's zip format: a pickle of how tensors are made of storages, and the storages beside it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", _torch_pickle(tensors))
        archive.writestr("archive/byteorder", "little")
        for key, value in enumerate(tensors.values()):
            archive.writestr(f"archive/data/{key}", value.astype("<f4").tobytes())
        archive.writestr("archive/version", "3\n")


def _torch_pickle(tensors: Mapping[str, np.ndarray]) -> bytes:
    """The opcodes of an OrderedDict of float32 tensors; PyTorch itself is not needed to write its names."""
    ordered = b"ccollections\nOrderedDict\n)R"
    items = []
    for key, (name, value) in enumerate(tensors.items()):
        storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text(str(key)) + _text("cpu")
        storage += _number(value.size) + b"tQ"
        strides = [stride // value.itemsize for stride in np.empty(value.shape, value.dtype).strides]
        shape = b"(" + b"".join(map(_number, value.shape)) + b"t(" + b"".join(map(_number, strides)) + b"t"
        rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n"
        items.append(_text(name) + rebuild + b"(" + storage + _number(0) + shape + b"\x89" + ordered + b"tR")
    return b"\x80\x02" + ordered + b"(" + b"".join(items) + b"u."


def _text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value) if value < 2**31 else b"\x8a\x08" + struct.pack("<q", value)
