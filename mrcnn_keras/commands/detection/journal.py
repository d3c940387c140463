"""What was found so far, in a file from which an interrupted run goes on."""

import dataclasses
import fcntl
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mrcnn_keras.commands.options import UsageError


class ImageEntry(NamedTuple):
    """Where the record of an image is, in the line at `offset` as number `row`, and what was true when it was made."""

    offset: int
    row: int
    stamp: list[int]
    picture: str
    error: str | None


@dataclasses.dataclass
class VideoEntry:
    """What there is of a video.

    Attributes:
        start: frame rate, stamp and picture, as when it was begun.
        offsets: of the lines with its frames, in order.
        frames: how many those are.
        ended: whether all frames are there, or all that can be read.
        error: why no more can be read, or None.
        drawn: whether the annotated video is written.
    """

    start: dict[str, Any]
    offsets: list[int] = dataclasses.field(default_factory=list)
    frames: int = 0
    ended: bool = False
    error: str | None = None
    drawn: bool = False


class Journal:
    """A file of JSON lines, each written whole or, when the process is killed, dropped by the next run; a context.

    The first line says what the run is and the model's categories. Each further one has the records of images that
    went through the model together, so that a run that goes on gives the model the same ones together again. A record
    of a name replaces earlier ones.

    Args:
        path: of the file, which is kept if it is there.
        run: what the records depend on, as JSON can hold it; by names that a user understands.
        restart: drop what is there.

    Attributes:
        categories: of the model, as a COCO file has them; None before `begin`.
        images, videos: entries by name.

    Raises:
        UsageError: the file is of a run that differs in `run`, is damaged, or another process works on it.
    """

    def __init__(self, path: pathlib.Path, run: Mapping[str, Any], restart: bool = False):
        self.path, self.categories = path, None
        self.images: dict[str, ImageEntry] = {}
        self.videos: dict[str, VideoEntry] = {}
        self._run = json.loads(json.dumps(run))
        self._length, self._last = 0, (-1, {})
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            self._lock()
            if not restart:
                self._look()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: Any) -> None:
        if not os.fstat(self._file.fileno()).st_size:  # nothing was done, and the next run may have other options
            self.path.unlink(missing_ok=True)
        self._file.close()

    def begin(self, categories: Sequence[Mapping[str, Any]]) -> None:
        """Write the first line if it is not there.

        Raises:
            UsageError: it is, and has other categories.
        """
        categories = json.loads(json.dumps(categories))
        if self.categories is None:
            self._length = 0
            self.add({"run": self._run, "categories": categories})
        elif self.categories != categories:
            raise UsageError(f"the model has other classes or keypoints than when {self.path} was begun; {_REMEDY}")

    def add(self, line: Mapping[str, Any]) -> None:
        """Write a line; it is on the disk when this returns.

        Args:
            line: `{"images": [record, ...]}` with "name", "stamp", "picture" and, if it failed, "error" in each;
                `{"video": name, "start": {...}}`, which drops what there is of it; `{"frames": [...], "of": name}`;
                `{"ended": name, "error": ...}`; or `{"drawn": name}`.
        """
        content = json.dumps(line).encode() + b"\n"
        self._file.truncate(self._length)
        self._file.seek(self._length)
        self._file.write(content)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._index(line, self._length)
        self._length += len(content)

    def image(self, name: str) -> dict[str, Any]:
        """The record of an image."""
        entry = self.images[name]
        return self._line(entry.offset)["images"][entry.row]

    def frames(self, name: str) -> Iterator[dict[str, Any]]:
        """The records of a video's frames, in order."""
        for offset in self.videos[name].offsets:
            yield from self._line(offset)["frames"]

    def _line(self, offset: int) -> dict[str, Any]:
        if self._last[0] != offset:  # neighbours are mostly asked for one after the other
            self._file.seek(offset)
            self._last = offset, json.loads(self._file.readline())
        return self._last[1]

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another run is writing into {self.path.parent}") from None
        except OSError:  # some network drives have no locks
            pass

    def _look(self) -> None:
        for number, line in enumerate(self._file):
            if not line.endswith(b"\n"):  # it was being written when the run was killed
                break
            try:
                content = json.loads(line)
                if number == 0:
                    self._check(content["run"])
                self._index(content, self._length)
            except (ValueError, KeyError, TypeError) as error:
                if isinstance(error, UsageError):
                    raise
                raise UsageError(f"{self.path} is damaged in line {number + 1}; {_REMEDY}") from error
            self._length += len(line)

    def _check(self, other: Mapping[str, Any]) -> None:
        differing = [name for name in {**self._run, **other} if self._run.get(name) != other.get(name)]
        if differing:
            what = ", ".join(f"{name} (then {_short(other.get(name))}, now {_short(self._run.get(name))})"
                             for name in differing)  # fmt: skip
            raise UsageError(f"{self.path.parent} has results of a run that differs in {what}; {_REMEDY}")

    def _index(self, line: Mapping[str, Any], offset: int) -> None:
        if "run" in line:
            self.categories = line["categories"]
        for row, one in enumerate(line.get("images", ())):
            entry = ImageEntry(offset, row, one["stamp"], one["picture"], one.get("error"))
            self.images[one["name"]] = entry
        if "video" in line:
            self.videos[line["video"]] = VideoEntry(line["start"])
        if "frames" in line:
            video = self.videos[line["of"]]
            video.offsets.append(offset)
            video.frames += len(line["frames"])
        if "ended" in line:
            self.videos[line["ended"]].ended, self.videos[line["ended"]].error = True, line["error"]
        if "drawn" in line:
            self.videos[line["drawn"]].drawn = True


_REMEDY = "--restart begins anew, another --out leaves it alone"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
