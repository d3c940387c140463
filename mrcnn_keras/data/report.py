"""What a dataset repaired, dropped or skipped."""

import dataclasses
import threading
from collections.abc import Collection, Sequence

KINDS = ("repaired", "dropped", "skipped")
# Messages kept; counts go on beyond them, so that memory stays bounded on a dataset full of faults.
MAX_MESSAGES = 1000


@dataclasses.dataclass(frozen=True)
class DatasetReport:
    """Faults met so far in the images that were loaded.

    Attributes:
        repaired: messages about annotations that were changed.
        dropped: messages about annotations that training leaves out.
        skipped: messages about images, files or annotations that could not be used.
        counts: number of faults by kind, also those beyond the listed messages.
    """

    repaired: tuple[str, ...]
    dropped: tuple[str, ...]
    skipped: tuple[str, ...]
    counts: dict[str, int]

    def __str__(self) -> str:
        lines = [", ".join(f"{self.counts[kind]} {kind}" for kind in KINDS)]
        for kind in KINDS:
            messages = getattr(self, kind)
            lines += [f"{kind}: {message}" for message in messages]
            if self.counts[kind] > len(messages):
                lines.append(f"{kind}: ... and {self.counts[kind] - len(messages)} more")
        return "\n".join(lines)


class FaultLog:
    """Collects faults by image; each image counts once however often it is loaded. Safe to share among threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._counts: dict[tuple, dict[str, int]] = {}
        self._messages: list[tuple] = []

    def add(self, index: int | None, stage: str, notes: list[tuple[str, str]]) -> None:
        """Notes (kind, message) on one image at one stage of loading; None stands for the dataset as a whole."""
        if not notes or (index, stage) in self._counts:
            return
        with self._lock:
            if (index, stage) in self._counts:
                return
            kinds = [kind for kind, _ in notes]
            self._counts[index, stage] = {kind: kinds.count(kind) for kind in KINDS}
            room = MAX_MESSAGES - len(self._messages)
            self._messages += [(index, kind, message) for kind, message in notes[:room]]

    def settle(self, faults: list[str], skip_broken: bool) -> None:
        """Lists what a dataset found out while it was made as skipped; a ValueError of the first unless `skip_broken`.

        Call it once for a dataset.
        """
        if faults and not skip_broken:
            more = f" (and {len(faults) - 1} more such faults)" if len(faults) > 1 else ""
            raise ValueError(f"{faults[0]}{more}; pass skip_broken=True to go on without")
        self.add(None, "files", [("skipped", fault) for fault in faults])

    def report(self, indices: Collection[int] | None = None) -> DatasetReport:
        """The faults of these images (default: all) and of the dataset as a whole."""
        with self._lock:
            wanted = None if indices is None else {None, *indices}
            counts = [value for (index, _), value in self._counts.items() if wanted is None or index in wanted]
            messages = [entry for entry in self._messages if wanted is None or entry[0] in wanted]
        listed = {kind: tuple(text for _, found, text in messages if found == kind) for kind in KINDS}
        return DatasetReport(**listed, counts={kind: sum(count[kind] for count in counts) for kind in KINDS})


def merged(reports: Sequence[DatasetReport]) -> DatasetReport:
    """Several reports as one."""
    listed = {kind: tuple(line for report in reports for line in getattr(report, kind)) for kind in KINDS}
    return DatasetReport(**listed, counts={kind: sum(report.counts[kind] for report in reports) for kind in KINDS})
