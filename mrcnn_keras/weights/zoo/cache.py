"""Where downloads are kept."""

import os
import pathlib

CACHE_VARIABLE = "MRCNN_KERAS_HOME"


def cache_folder() -> pathlib.Path:
    """Where downloads are kept: $MRCNN_KERAS_HOME, or ~/.cache/mrcnn_keras."""
    return pathlib.Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/mrcnn_keras").expanduser()
