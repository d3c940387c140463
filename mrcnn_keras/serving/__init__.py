"""Models for stock TensorFlow, for ONNX and for XLA's runtimes, and asking what is served."""

import importlib

_HOMES = {
    "Client": "client",
    "ServerError": "errors",
    "ServerTimeoutError": "errors",
    "ServerUnavailableError": "errors",
    "export_onnx": "onnx_file",
    "export_saved_model": "export",
    "export_stablehlo": "stablehlo",
    "load_stablehlo": "jax_runtime",
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:  # TensorFlow takes seconds to import, and a client over REST does without
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
