"""Serving with stock TensorFlow."""

__all__ = ["export_saved_model"]


def __getattr__(name: str):
    if name == "export_saved_model":  # TensorFlow takes seconds to import
        from mrcnn_keras.serving.export import export_saved_model

        return export_saved_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
