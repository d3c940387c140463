"""What was found so far, in a file from which an interrupted run goes on."""

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from mrcnn_keras.data.json_lines import JsonLines


class Spool:
    """Records of images in `JsonLines`; a context.

    Args:
        path: the file. If there is one, its records are kept.
        origin: what the records depend on, as JSON can hold it.

    Attributes:
        stamps: the fields "file_name" and "stamp" of all records; a later one of the same name replaces an earlier one.

    Raises:
        ValueError: the file is there and has another origin, is damaged, or another process works on it.
    """

    def __init__(self, path: pathlib.Path, origin: Mapping[str, Any]):
        self.stamps: dict[str, Any] = {}
        self._places: dict[str, int] = {}
        header = json.loads(json.dumps({"origin": origin}))
        try:
            self._lines = JsonLines(path)
        except BlockingIOError:
            raise ValueError(f"another process is writing {path}") from None
        try:
            self._look(header)
        except BaseException:
            self._lines.close()
            raise

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: Any) -> None:
        self._lines.close()

    def add(self, record: Mapping[str, Any]) -> None:
        """Write the record of an image."""
        self._index(record, self._lines.add(record))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All records, in the order in which they were written."""
        for place, content in self._lines:
            if place and self._places[content["file_name"]] == place:  # behind the header
                yield content

    def remove(self) -> None:
        """Delete the file."""
        self._lines.path.unlink()

    def _look(self, header: Mapping[str, Any]) -> None:
        """Read the names and check the first line, or write it."""
        begun = False
        for place, content in self._lines:
            if begun:
                self._index(content, place)
            elif content != header:
                raise ValueError(f"{self._lines.path} is from a run with another model, labelled dataset or other "
                                 "options, or of photos in another folder; go on with those, or remove it")  # fmt: skip
            begun = True
        if not begun:
            self._lines.add(header)

    def _index(self, record: Mapping[str, Any], place: int) -> None:
        self.stamps[record["file_name"]], self._places[record["file_name"]] = record.get("stamp"), place
