"""A file to which a process adds line by line, and from which another goes on when that one was killed."""

import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class JsonLines:
    """JSON objects, one a line, each on the disk when it is added, or dropped if the process was killed meanwhile.

    Args:
        path: of the file, which is kept if it is there, and made with the folders above it if not.

    Raises:
        BlockingIOError: another process has it open.
    """

    def __init__(self, path: pathlib.Path):
        self.path, self._length = path, 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            self._lock()
        except BlockingIOError:
            self._file.close()
            raise

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The place and content of each whole line; what is added next comes behind the last one that was read.

        Raises:
            ValueError: a line that is no JSON, by number.
        """
        self._file.seek(0)
        self._length = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):  # it was being written when the process was killed
                return
            try:
                content = json.loads(line)
            except ValueError:
                raise ValueError(f"{self.path} is damaged in line {number}") from None
            place, self._length = self._length, self._length + len(line)
            yield place, content

    def __getitem__(self, place: int) -> dict[str, Any]:
        """The content of the line at a place."""
        self._file.seek(place)
        return json.loads(self._file.readline())

    def add(self, content: Mapping[str, Any]) -> int:
        """Write a line; its place."""
        line, place = json.dumps(content).encode() + b"\n", self._length
        self._file.truncate(place)
        self._file.seek(place)
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._length += len(line)
        return place

    def close(self) -> None:
        """Close the file, and remove it if there is nothing in it."""
        if not os.fstat(self._file.fileno()).st_size:
            self.path.unlink(missing_ok=True)
        self._file.close()

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # some network drives have no locks
            pass
