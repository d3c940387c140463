"""What was found so far, in a file from which an interrupted run goes on."""

import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_DIFFERS = "is from a run with another model, labelled dataset or other options; go on with those, or remove it"


class Spool:
    """Records of images in a file, one a line, each written whole or not at all; a context.

    Args:
        path: the file. If there is one, its records are kept.
        origin: what the records depend on, as JSON can hold it.
        differs: what the message says of a file with another origin.

    Attributes:
        names: the field "file_name" of each record -> where the record is.

    Raises:
        ValueError: the file is there and has another origin.
    """

    def __init__(self, path: str | os.PathLike, origin: Mapping[str, Any], differs: str = _DIFFERS):
        self.path, self.names, self._differs = pathlib.Path(path), {}, differs
        self._header = json.loads(json.dumps({"origin": origin}))
        whole = self._look() if self.path.exists() else 0
        self._file = open(self.path, "r+b" if whole else "wb")  # closed by __exit__
        self._file.truncate(whole)
        self._file.seek(whole)
        if not whole:
            self._write(self._header)

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def add(self, record: Mapping[str, Any]) -> None:
        """Write the record of an image."""
        place = self._file.tell()
        self._write(record)
        self.names[record["file_name"]] = place

    def find(self, names: Iterable[str]) -> Iterator[dict[str, Any]]:
        """The records of these, one after the other."""
        with open(self.path, "rb") as lines:
            for name in names:
                lines.seek(self.names[name])
                yield json.loads(lines.readline())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All records, in the order in which they were written."""
        with open(self.path, "rb") as lines:
            next(lines)
            yield from map(json.loads, lines)

    def remove(self) -> None:
        """Close and delete the file."""
        self._file.close()
        self.path.unlink()

    def _write(self, content: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(content).encode() + b"\n")
        self._file.flush()

    def _look(self) -> int:
        """Reads the names, and checks the origin; how many bytes are whole lines."""
        whole = 0
        with open(self.path, "rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):  # written when the run was stopped
                    break
                if whole:
                    self.names[json.loads(line)["file_name"]] = whole
                elif json.loads(line) != self._header:
                    raise ValueError(f"{self.path} {self._differs}")
                whole += len(line)
        return whole
