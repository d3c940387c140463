"""Pages of annotated pictures, like figures 2, 5, 7 and 8 of the paper."""

import heapq
import itertools
from collections.abc import Iterator
from typing import Any

from mrcnn_keras.commands.detection.inputs import MOST_PAGES, Source, page_path
from mrcnn_keras.commands.detection.progress import say
from mrcnn_keras.commands.detection.results import as_found
from mrcnn_keras.commands.detection.work import Work

_COUNTED = 5  # detections of an image that decide about its place


def draw_gallery(work: Work, rows: int, columns: int, pages: int = 1) -> None:
    """Write `gallery.png`, `gallery_2.png` and so on.

    The pictures are those whose five best detections have the highest scores together, of each video one frame; they
    stand in the order of the results.

    Args:
        work: a run, all of whose results are in the journal.
        rows, columns: of a page.
        pages: at most so many.
    """
    from mrcnn_keras.visualize import draw_grid

    size = rows * columns
    best = heapq.nlargest(size * pages, _ranked(work), key=lambda one: (one[0], -one[1]))
    chosen = sorted(best, key=lambda one: one[1])
    for number in range(1, MOST_PAGES + 1):
        path, page = page_path(work.out, number), chosen[(number - 1) * size : number * size]
        if not page:
            path.unlink(missing_ok=True)  # of an older run, which had more
            continue
        images = [_pixels(work, source, record) for _, _, source, record in page]
        found = [as_found(record, work.journal.categories) for *_, record in page]
        draw_grid(images, found, path, columns, score_threshold=work.min_score)
        say(f"gallery of {len(page)} pictures in {path}")


def _ranked(work: Work) -> Iterator[tuple[float, int, Source, dict[str, Any]]]:
    """Rank, place among the results, source and record of each image, and of each video's best frame."""
    for place, source in enumerate(work.sources):
        if source.kind == "image":
            entry = work.journal.images.get(source.name)
            records = [work.journal.image(source.name)] if entry is not None and entry.error is None else []
        else:
            records = work.journal.frames(source.name) if source.name in work.journal.videos else []
        best = max(((_rank(work, record), record) for record in records), key=lambda one: one[0], default=None)
        if best is not None:
            yield best[0], place, source, best[1]


def _rank(work: Work, record: dict[str, Any]) -> float:
    scores = sorted((one["score"] for one in record["found"]), reverse=True)[:_COUNTED]
    return sum(score for score in scores if score >= work.min_score)


def _pixels(work: Work, source: Source, record: dict[str, Any]) -> Any:
    if source.kind == "image":
        return source.path
    from mrcnn_keras.commands.detection.video import VideoReader

    with VideoReader(source.path) as reader:
        return next(itertools.islice(reader.frames(record["frame"]), 1)).pixels
