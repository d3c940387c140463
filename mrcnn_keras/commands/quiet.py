"""TensorFlow without its notes to developers."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


def import_tensorflow() -> None:
    """Import TensorFlow; what it writes to the terminal meanwhile is shown only if the import fails.

    Its C++ side tells about CPU features and absent GPU drivers on every start, whatever TF_CPP_MIN_LOG_LEVEL says.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _held_back():
        import tensorflow as tf

        tf.config.list_physical_devices()  # the first look for GPUs talks, too


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Hold back what is written to file descriptor 2, and pass it on if the block fails."""
    try:
        stderr = os.dup(2)
    except OSError:  # there is no standard error, so nothing to hold back
        yield
        return
    failed = True
    with tempfile.TemporaryFile() as store:
        os.dup2(store.fileno(), 2)
        try:
            yield
            failed = False
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            if failed:
                store.seek(0)
                sys.stderr.write(store.read().decode(errors="replace"))
