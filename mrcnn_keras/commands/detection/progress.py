"""How far a run is: a bar on a terminal, lines in a log."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

_SECONDS = 10.0  # between two lines of a log


@contextlib.contextmanager
def progress(what: str, total: int | None, unit: str = "images") -> Iterator["Lines"]:
    """A context of something to `advance`; `say` and `warn` print meanwhile.

    Args:
        what: is done.
        total: how many there are, or None where nobody knows.
        unit: what is counted.
    """
    if not sys.stdout.isatty():
        yield Lines(what, total, unit)
        return
    from rich import progress as bars

    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn(),
               bars.TextColumn(unit), bars.TimeElapsedColumn(), bars.TextColumn("left"),
               bars.TimeRemainingColumn())  # fmt: skip
    with bars.Progress(*columns, redirect_stderr=sys.stderr.isatty()) as bar:
        yield _Bar(bar, bar.add_task(_shown(what, sys.stdout).replace("[", r"\["), total=total))


class Lines:
    """Now and then a line about how many are done; arguments as of `progress`."""

    def __init__(self, what: str, total: int | None, unit: str):
        self._what, self._of, self._unit = what, "" if total is None else f" of {total}", unit
        self._total, self._done, self._began = total, 0, time.monotonic()
        self._told = self._began

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        self._done += count
        now = time.monotonic()
        if now - self._told >= _SECONDS:
            self._told = now
            rate = self._done / (now - self._began)
            say(f"{self._what}: {self._done}{self._of} {self._unit}, {rate:.2g} a second")


class _Bar(Lines):
    def __init__(self, bar: Any, task: Any):
        self._bar, self._task = bar, task

    def advance(self, count: int = 1) -> None:
        self._bar.advance(self._task, count)


def say(text: str, file: TextIO | None = None) -> None:
    """Print a line at once; names of files that the terminal cannot show are escaped."""
    file = file or sys.stdout
    print(_shown(text, file), file=file, flush=True)


def _shown(text: str, file: TextIO) -> str:
    encoding = getattr(file, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def warn(text: str) -> None:
    """Print a line to standard error."""
    say(text, sys.stderr)
