"""Folders that an export writes: put in place when they are complete, and never over something else."""

import contextlib
import pathlib
import shutil
from collections.abc import Iterator

MARKERS = {"SavedModel": "saved_model.pb", "StableHLO export": "model.stablehlo"}  # a file that each kind holds


def check_folder(path: pathlib.Path, kind: str) -> None:
    """Check that an export may be written to a path.

    Args:
        path: the folder, which may be absent, empty, or an older export.
        kind: of the export, one of `MARKERS`.

    Raises:
        ValueError: the path is a file, or a folder that holds something else.
    """
    if path.exists() and not (path.is_dir() and (not any(path.iterdir()) or (path / MARKERS[kind]).exists())):
        raise ValueError(f"{path} exists and is no {kind}; choose a new folder")


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A name for the new folder, beside `path`; it takes the place of `path` when the block ends without an error."""
    partial = path.with_name(f".{path.name}.partial")  # no number, so that TF Serving does not load it half-written
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield partial
        if path.exists():
            shutil.rmtree(path)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
