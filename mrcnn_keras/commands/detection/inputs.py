"""What is looked at: images and videos, in files and folders, or a camera."""

import argparse
import dataclasses
import os
import pathlib
import re
import stat
from collections.abc import Iterator, Sequence

from mrcnn_keras.commands import options
from mrcnn_keras.commands.detection.progress import warn

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")
JOURNAL = ".detections.jsonl"  # in the folder of a run's results
MOST_PAGES = 99  # of a gallery
_WRITTEN = (".jpg", ".jpeg", ".png", ".webp")  # pictures keep these; others become .png
_CAMERA = re.compile(r"camera:(\d+)|/dev/video(\d+)")


@dataclasses.dataclass(frozen=True)
class Source:
    """Something to detect in.

    Attributes:
        path: of the file; of a camera what it was given as.
        kind: "image", "video" or "camera".
        target: the annotated picture or video to write.
    """

    path: pathlib.Path
    kind: str
    target: pathlib.Path

    @property
    def name(self) -> str:
        """What results call it."""
        return str(self.path)

    def stamp(self) -> list[int]:
        """Of the file, see `data.files.file_stamp`."""
        from mrcnn_keras.data.files import file_stamp

        return file_stamp(self.path)


def given(text: str) -> pathlib.Path:
    """A file or folder that exists, or a camera, for `type=`."""
    return pathlib.Path(text) if camera_number(text) is not None else options.existing(text)


def camera_number(text: str | os.PathLike) -> int | None:
    """The number in "camera:0" or "/dev/video0"; None for all else."""
    match = _CAMERA.fullmatch(os.fspath(text))
    return int(match[1] or match[2]) if match else None


def page_size(text: str) -> tuple[int, int]:
    """Rows and columns, "3x4", for `type=`."""
    rows, x, columns = text.lower().partition("x")
    if not (x and rows.isdecimal() and columns.isdecimal() and 1 <= int(rows) <= 20 and 1 <= int(columns) <= 20):
        raise argparse.ArgumentTypeError(f"{text!r}: expected ROWSxCOLUMNS, each 1 to 20, such as 3x4")
    return int(rows), int(columns)


def page_path(out: pathlib.Path, number: int) -> pathlib.Path:
    """File of a gallery's page, counted from 1."""
    return out / ("gallery.png" if number == 1 else f"gallery_{number}.png")


def find_sources(inputs: Sequence[pathlib.Path], out: pathlib.Path) -> list[Source]:
    """The images and videos among and under `inputs`, each with its own target under `out`.

    No target is an input, or a page of the gallery.

    Args:
        inputs: files, folders, which are searched with those below them, or one camera.
        out: folder of the results; it is not searched.

    Raises:
        UsageError: nothing to look at, a camera beside others, or `out` is one of the folders.
    """
    home = out.resolve()
    found: dict[pathlib.Path, pathlib.Path] = {}
    taken = {page_path(home, number) for number in range(1, MOST_PAGES + 1)}
    for one in inputs:
        base = one.resolve()
        if base == home:
            raise options.UsageError(f"--out {out} is the folder to search; choose another, such as {out / 'found'}")
        for path in sorted(_search(one, home)) if one.is_dir() else [one]:
            taken |= {_real(path.parent) / path.name, _real(path)}  # a link, and what it leads to
            found.setdefault(path, pathlib.Path(path.name) if path == one else path.relative_to(one))
    if not found:
        raise options.UsageError(f"no images or videos in {', '.join(map(str, inputs))}")
    kinds = {path: _kind(path) for path in found}
    if "camera" in kinds.values() and len(found) > 1:
        raise options.UsageError("a camera is looked at alone; give other inputs to another run")
    names = {path: _picture_name(path, short, kinds[path]) for path, short in found.items()}
    return [Source(path, kinds[path], out / _free(name, home, taken)) for path, name in names.items()]


def _search(folder: pathlib.Path, out: pathlib.Path) -> Iterator[pathlib.Path]:
    closed: list[OSError] = []
    for where, folders, names in os.walk(folder, onerror=closed.append):
        # A run must not look at the pictures of another.
        folders[:] = [one for one in folders if not _has_results(pathlib.Path(where, one), out)]
        for path in (pathlib.Path(where, name) for name in names):
            wanted = path.suffix.lower() in IMAGES + VIDEOS and not path.name.startswith("._")  # macOS' side files
            if wanted and _is_file(path):
                yield path
    yield from (pathlib.Path(error.filename) for error in closed)  # when it is their turn, it is told why


def _has_results(folder: pathlib.Path, out: pathlib.Path) -> bool:
    if _real(folder) == out:
        return True
    if os.path.exists(folder / JOURNAL):
        warn(f"left out: {folder}, which has the results of a run")
        return True
    return False


def _is_file(path: pathlib.Path) -> bool:
    """Whether it is one or, as of a link that leads nowhere, nobody knows; then reading it tells why."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return True


def _real(path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(os.path.realpath(path))  # unlike `resolve`, of links in a circle, too


def _kind(path: pathlib.Path) -> str:
    if camera_number(path) is not None:
        return "camera"
    suffix = path.suffix.lower()
    return "video" if suffix in VIDEOS or (suffix == ".gif" and _moves(path)) else "image"


def _moves(path: pathlib.Path) -> bool:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return getattr(image, "is_animated", False)
    except Exception:  # Pillow raises many types on damaged files; what is wrong is told when it is its turn
        return False


def _picture_name(path: pathlib.Path, short: pathlib.Path, kind: str) -> pathlib.Path:
    if kind == "camera":
        return pathlib.Path(f"camera_{camera_number(path)}.mkv")
    if kind == "video":
        return short.with_suffix(".mp4")
    return short if short.suffix.lower() in _WRITTEN else short.with_suffix(".png")


def _free(name: pathlib.Path, home: pathlib.Path, taken: set[pathlib.Path]) -> pathlib.Path:
    """The name, or with a number the first that is not taken; it is then."""
    free, number = name, 1
    while home / free in taken or _real(home / free) in taken:
        number += 1
        free = name.with_stem(f"{name.stem}_{number}")
    taken.add(home / free)
    return free
