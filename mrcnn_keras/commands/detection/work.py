"""What the passes over images, videos and cameras share."""

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from mrcnn_keras.commands.detection.detector import Detector
from mrcnn_keras.commands.detection.inputs import Source
from mrcnn_keras.commands.detection.journal import Journal

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Work:
    """A run of the command.

    Attributes:
        sources: what is looked at, in the order of the results.
        out: folder of the results.
        journal: what was found so far.
        detector: what detects.
        together: images that go through the model together, on all its devices.
        min_score: of the detections drawn, 0..1.
        pictures: whether to draw.
        every, limit: of a video's frames, one of so many and at most so many; `limit` None: all.
    """

    sources: list[Source]
    out: pathlib.Path
    journal: Journal
    detector: Detector
    together: int = 1
    min_score: float = 0.5
    pictures: bool = True
    every: int = 1
    limit: int | None = None

    def begin(self) -> None:
        """See that the journal is begun, which needs the model, and that no older results are taken for this run's."""
        fresh = self.journal.categories is None
        self.journal.begin(self.detector.categories)
        if fresh:
            (self.out / RESULTS).unlink(missing_ok=True)

    def picture(self, source: Source) -> str:
        """What the journal says of a source's picture."""
        return source.target.relative_to(self.out).as_posix()

    def is_own(self, source: Source) -> bool:
        """Whether the picture of a source that is done is its own, not that of one that had its name meanwhile."""
        return not self.pictures or self.journal.pictures.get(self.picture(source)) == source.name

    def shown(self, found: Any) -> Any:
        """Of `Detections` those that are drawn."""
        return found[found.scores >= self.min_score]


RESULTS = "detections.json"


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of so many items, the last maybe shorter; those before an error are given before it is raised."""
    gathered: list[T] = []
    try:
        for item in items:
            gathered.append(item)
            if len(gathered) == size:
                yield gathered
                gathered = []
    except ValueError:
        if gathered:
            yield gathered
        raise
    if gathered:
        yield gathered
