"""Files of a training's states: whole or not there, and the older ones thrown away."""

import json
import os
import pathlib
import re
import shutil
import zipfile
from typing import Any

# Beside Keras' own members of a .keras file, which leaves others alone.
_STATE = "training_state.json"
_PARTIAL = ".partial.keras"


def write_checkpoint(model: Any, path: pathlib.Path, state: dict[str, Any]) -> None:
    """Write a model, its optimizer and `state` as one `.keras` file, which appears only when all of it is on disk.

    Args:
        model: a compiled `MaskRCNN`.
        path: of the file; replaced if it exists.
        state: JSON values.

    Raises:
        OSError: the file cannot be written; there is no trace of it then.
    """
    partial = path.with_name(f".{path.stem}{_PARTIAL}")
    try:
        model.save(partial)
        with zipfile.ZipFile(partial, "a") as archive:
            archive.writestr(_STATE, json.dumps(state))
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def link(source: pathlib.Path, path: pathlib.Path) -> None:
    """Make `path` another name of a file, or a copy where the file system has no links."""
    beside = path.with_name(f".{path.stem}{_PARTIAL}")
    beside.unlink(missing_ok=True)
    try:
        os.link(source, beside)
    except OSError:
        shutil.copyfile(source, beside)
    os.replace(beside, path)


def step_path(folder: pathlib.Path, step: int) -> pathlib.Path:
    """The checkpoint of a step."""
    return folder / f"step-{step:08d}.keras"


def checkpoint_paths(folder: pathlib.Path) -> list[pathlib.Path]:
    """What a training may go on from, the newest last; a `last.keras` alone will do."""
    last = folder / "last.keras"
    return step_paths(folder) or ([last] if last.is_file() else [])


def stage_folder(folder: pathlib.Path, number: int, name: str) -> pathlib.Path:
    """Where the states of a stage before the last one are, in the folder of the last one's; numbers from 1."""
    return folder / f"stage-{number}-{name}"


def stage_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folders of the states of a training's stages, in order; `folder` itself, of the last stage, comes last."""
    return [*sorted(path for path in folder.glob("stage-[1-9]-*") if path.is_dir()), folder]


def step_paths(folder: pathlib.Path) -> list[pathlib.Path]:
    """The checkpoints of steps in a folder, by their steps; empty if there is none."""
    found = [path for path in folder.glob("step-*.keras") if re.fullmatch(r"step-\d{8,}", path.stem)]
    return sorted(found, key=lambda path: int(path.stem.removeprefix("step-")))


def remove_partial(folder: pathlib.Path) -> None:
    """Remove what processes left that were killed while they wrote."""
    for path in folder.glob(f".*{_PARTIAL}"):
        path.unlink(missing_ok=True)


def read_checkpoint(path: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state and the model's config of a checkpoint, every byte of which is checked.

    Raises:
        ValueError: the file is damaged or no checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
            if broken is None:
                config = json.loads(archive.read("config.json"))["config"]
                return json.loads(archive.read(_STATE)), config["config"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a whole checkpoint: {error}") from None
    raise ValueError(f"{path} is not a whole checkpoint: {broken} is damaged")
