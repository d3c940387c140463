"""Processes taking turns."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from comparison.process import ContestantError


@dataclasses.dataclass
class Record:
    """What is known of one process.

    Attributes:
        contestant, workload: who it was and what it did.
        start: its first answer, with "versions" and "cold_start".
        walls, cpus: case -> seconds of each measured round, of the clock and of the processor.
        end: its last answer, with "peak_gib" and "counts".
        error: why it ended early, or None.
    """

    contestant: str
    workload: str
    start: dict[str, Any] = dataclasses.field(default_factory=dict)
    walls: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    cpus: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    end: dict[str, Any] = dataclasses.field(default_factory=dict)
    error: str | None = None

    def note(self, answer: dict[str, Any]) -> None:
        """Add one round."""
        for case, seconds in answer["cases"].items():
            self.walls.setdefault(case, []).append(seconds["wall"])
            self.cpus.setdefault(case, []).append(seconds["cpu"])


def compete(
    entries: Sequence[tuple[str, str]],
    launch: Callable[[str, str], Any],
    rounds: int,
    warmups: int = 1,
    say: Callable[[str], None] = print,
) -> list[Record]:
    """Start all, one after the other; let them take turns; end them.

    Args:
        entries: contestant and workload of each process.
        launch: starts a `process.Process` for them.
        rounds: measured turns of each; who begins changes from one to the next.
        warmups: turns before them.
        say: is told how it goes.

    Returns: one record an entry; of one that fails, with the error and what was measured until then.
    """
    records = [Record(*entry) for entry in entries]
    running: list[tuple[Record, Any]] = []
    try:
        for record in records:
            process = launch(record.contestant, record.workload)
            running.append((record, process))
            record.start = _try(running, record, process.answer, say) or {}
            if record.start:
                say(f"{_title(record)}: ready after {record.start['cold_start']:.1f} s")
        for turn in range(warmups + rounds):
            first = turn % max(1, len(running))
            for record, process in running[first:] + running[:first]:
                answer = _try(running, record, lambda process=process: process.ask("run"), say)
                if answer and turn >= warmups:
                    record.note(answer)
            say(f"round {turn + 1 - warmups} of {rounds}" if turn >= warmups else "warm-up")
        for record, process in list(running):
            record.end = _try(running, record, lambda process=process: process.ask("end"), say) or {}
    finally:
        for _, process in running:
            process.stop()
    return records


def _title(record: Record) -> str:
    return record.contestant if record.workload not in ("peak",) else f"{record.contestant}, convolutions"


def _try(running: list, record: Record, ask: Callable[[], dict], say: Callable[[str], None]) -> dict | None:
    """The answer; or None, and the process is out of the race."""
    try:
        return ask()
    except ContestantError as error:
        record.error = str(error)
        say(f"{_title(record)} failed: {error}")
        running[:] = [(other, process) for other, process in running if other is not record]
        return None
