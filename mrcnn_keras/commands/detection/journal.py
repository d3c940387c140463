"""What was found so far, in a file from which an interrupted run goes on."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mrcnn_keras.commands.options import UsageError
from mrcnn_keras.data.json_lines import JsonLines


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
    """What a run has found, in `JsonLines`; a context.

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
        pictures: of each picture, whose it is; the last one that was written there.

    Raises:
        UsageError: the file is of a run that differs in `run`, is damaged, or another process works on it.
    """

    def __init__(self, path: pathlib.Path, run: Mapping[str, Any], restart: bool = False):
        self.path, self.categories = path, None
        self.images: dict[str, ImageEntry] = {}
        self.videos: dict[str, VideoEntry] = {}
        self.pictures: dict[str, str] = {}
        self._run = json.loads(json.dumps(run))
        self._last = -1, {}
        try:
            self._lines = JsonLines(path)
        except BlockingIOError:
            raise UsageError(f"another run is writing into {path.parent}") from None
        try:
            if not restart:
                self._look()
        except BaseException:
            self._lines.close()
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: Any) -> None:
        self._lines.close()

    def begin(self, categories: Sequence[Mapping[str, Any]]) -> None:
        """Write the first line if it is not there.

        Raises:
            UsageError: it is, and has other categories.
        """
        categories = json.loads(json.dumps(categories))
        if self.categories is None:
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
        self._index(line, self._lines.add(line))

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
            self._last = offset, self._lines[offset]
        return self._last[1]

    def _look(self) -> None:
        try:
            for number, (offset, content) in enumerate(self._lines, start=1):
                try:
                    if number == 1:
                        self._check(content["run"])
                    self._index(content, offset)
                except (KeyError, TypeError, AttributeError):
                    raise ValueError(f"{self.path} is damaged in line {number}") from None
        except ValueError as error:
            raise error if isinstance(error, UsageError) else UsageError(f"{error}; {_REMEDY}") from None

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
            self.pictures[entry.picture] = one["name"]
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
            self.pictures[self.videos[line["drawn"]].start["picture"]] = line["drawn"]


_REMEDY = "--restart begins anew, another --out leaves it alone"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
