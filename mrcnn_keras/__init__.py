"""Mask R-CNN for TensorFlow and Keras 3."""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "MaskRCNN": "model",
    "MaskRCNNConfig": "config",
    "Detections": "inference.detections",
    "NonFiniteLossError": "training.finite",
}
_MODULES = tuple("data distillation evaluation inference losses ops presets serving training visualize weights".split())
__all__ = [*_HOMES, *_MODULES]


def __getattr__(name: str):
    # Imported on first use: TensorFlow takes seconds, and the command line's help does not need it.
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
