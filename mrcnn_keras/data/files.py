"""Folders, JSON files and image files that a dataset is made from."""

import json
import os
import pathlib
from collections.abc import Iterator

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def checked_folder(folder: str | os.PathLike, argument: str) -> pathlib.Path:
    """The path of a folder that is there; else a ValueError naming the argument it was given as."""
    path = pathlib.Path(folder)
    if not path.is_dir():
        raise ValueError(f"{argument}={str(folder)!r} is not a folder")
    return path


def files_in(folder: pathlib.Path, suffixes: tuple[str, ...]) -> list[pathlib.Path]:
    """Files of a folder, not of those below it, whose names end so in upper or lower case; sorted."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.is_file())


def file_stamp(path: str | os.PathLike) -> list[int]:
    """Bytes, and when it was last changed; empty where there is no file. Another stamp is another content."""
    try:
        state = os.stat(path)
    except OSError:
        return []
    return [state.st_size, state.st_mtime_ns]


def read_json(path: pathlib.Path) -> dict:
    """The JSON object that a file holds.

    Raises:
        ValueError: there is no such file, or it holds something else; the message names the file and the place.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ValueError(f"annotation file {path} does not exist") from None
    except OSError as error:
        raise ValueError(f"cannot read annotation file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"annotation file {path} is not UTF-8 text at byte {error.start}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"annotation file {path} is not valid JSON at {place}: {error.msg}") from None
    except RecursionError:
        raise ValueError(f"annotation file {path} is not valid JSON: nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError(f"annotation file {path} must hold a JSON object {{...}}, found {content!r:.40}")
    return content


def find_image(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """The file that an annotation file calls `name`, relative to a folder; None if it is not there.

    Back-slashes are taken as slashes. Where the path leads nowhere, as on another machine than the one it was written
    on, a file of that name directly in the folder is taken.
    """
    return next((path for path in _candidates(folder, name) if path.is_file()), None)


def last_part(name: str) -> str:
    """The file name at the end of a path with slashes or back-slashes."""
    return pathlib.PurePosixPath(name.replace("\\", "/")).name


def _candidates(folder: pathlib.Path, name: str) -> Iterator[pathlib.Path]:
    yield folder / name
    yield folder / name.replace("\\", "/")
    yield folder / last_part(name)
