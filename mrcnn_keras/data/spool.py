"""What was found so far, in a file from which an interrupted run goes on."""

import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any


class Spool:
    """Records of images in a file, one a line, each written whole or not at all; a context.

    Args:
        path: the file. If there is one, its records are kept.
        origin: what the records depend on, as JSON can hold it.

    Attributes:
        names: the field "file_name" of all records.

    Raises:
        ValueError: the file is there and has another origin.
    """

    def __init__(self, path: str | os.PathLike, origin: Mapping[str, Any]):
        self.path, self.names = pathlib.Path(path), set()
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
        self._write(record)
        self.names.add(record["file_name"])

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
                    self.names.add(json.loads(line)["file_name"])
                elif json.loads(line) != self._header:
                    raise ValueError(
                        f"{self.path} is from a run with another model, labelled dataset or other options; go on with "
                        "those, or remove it"
                    )
                whole += len(line)
        return whole
