"""Which implementation of an operation runs: argument, context manager, environment, then what can run here."""

import contextlib
import os
import threading
from collections.abc import Iterator

from mrcnn_keras.ops import _library
from mrcnn_keras.ops._tracing import compiling_with_xla, saving

VARIABLE = "MRCNN_KERAS_OPS"
_NAMES = ("auto", "compiled", "tensorflow", "cropped")

_lock = threading.Lock()
_active: list[tuple[int, str]] = []  # (thread, name), the latest last


@contextlib.contextmanager
def use_implementation(name: str) -> Iterator[None]:
    """Within the block, `implementation="auto"` means `name`; wrap exports and other graphs that leave this machine.

    A block of the calling thread goes before those of other threads, and the threads that a distribution strategy
    starts inside the block follow it. A tf.function keeps what was chosen when it was traced.

    Args:
        name: "compiled", "tensorflow", "cropped" or "auto".

    Raises:
        ValueError: another name.
    """
    entry = (threading.get_ident(), _checked(name, "use_implementation"))
    with _lock:
        _active.append(entry)
    try:
        yield
    finally:
        with _lock:
            last = max(i for i, active in enumerate(_active) if active is entry)
            del _active[last]


def resolve(implementation: str) -> str:
    """ "compiled", "tensorflow" or "cropped", for a call with this `implementation` argument.

    Raises:
        ValueError: an unknown name.
        RuntimeError: "compiled" was asked for and the operation is not available.
    """
    name = _checked(implementation, "implementation")
    if name == "auto":
        name, _ = requested()
    if name == "auto":
        # XLA has no kernel for our operation, and a SavedModel must load where there is none.
        return "tensorflow" if compiling_with_xla() or saving() or not _library.usable() else "compiled"
    if name == "compiled":
        _library.require()
    return "tensorflow" if name == "cropped" and compiling_with_xla() else name


def requested() -> tuple[str, str]:
    """What "auto" is set to, and by what."""
    with _lock:
        mine = [name for thread, name in _active if thread == threading.get_ident()]
        others = [name for _, name in _active]
    if mine or others:
        return (mine or others)[-1], "use_implementation"
    where = f"environment variable {VARIABLE}"
    return _checked(os.environ.get(VARIABLE) or "auto", where), where


def _checked(name, where):
    if name not in _NAMES:
        raise ValueError(f"{where} must be one of {', '.join(_NAMES)}, got {name!r}")
    return name
