"""The pass over image files."""

from collections.abc import Sequence
from typing import Any

from mrcnn_keras.commands.detection.detector import faults
from mrcnn_keras.commands.detection.inputs import Source
from mrcnn_keras.commands.detection.progress import progress, say, warn
from mrcnn_keras.commands.detection.results import as_record
from mrcnn_keras.commands.detection.work import Work, chunks

_AT_ONCE = 16  # images between two lines of the journal, or a batch of each device; detect reads ahead among them
_TOLD = 50  # up to so many images, there is a line about each


def detect_images(work: Work) -> int:
    """Detect in the images that the journal lacks, that have changed, or that could not be read and now can.

    Returns: how many images the model was given.
    """
    fresh, again = _left(work)
    if not fresh and not again:
        return 0
    slow = {"tta", "tiles"} & set(work.detector.options)  # then a line for each batch, or much is lost at a stop
    size = work.together * max(1, (1 if slow else _AT_ONCE) // work.together)
    total = len(fresh) + len(again)
    with progress("detecting", total) as bar:
        # Those first, and apart, so that the others are together as they would have been without them.
        for part in [*chunks(again, size), *chunks(fresh, size)]:
            stamps = [source.stamp() for source in part]  # before they are read
            found = work.detector.each([source.path for source in part])
            work.begin()
            pairs = zip(part, stamps, found)
            work.journal.add({"images": [_record(work, *one, told=total <= _TOLD) for one in pairs]})
            bar.advance(len(part))
    return total


def _left(work: Work) -> tuple[list[Source], list[Source]]:
    """Images that the journal does not have, and those to detect in again."""
    fresh, changed, failed = [], [], []
    for source in (one for one in work.sources if one.kind == "image"):
        entry = work.journal.images.get(source.name)
        if entry is None:
            fresh.append(source)
        elif entry.error is not None:
            failed.append(source)
        elif (entry.stamp, entry.picture) != (source.stamp(), work.picture(source)) or not work.is_own(source):
            changed.append(source)
    return fresh, [*_mended(failed), *changed]


def _mended(failed: Sequence[Source]) -> list[Source]:
    from mrcnn_keras.data import read_image

    broken = faults((source.path for source in failed), read_image)
    return [source for source in failed if source.path not in broken]


def _record(work: Work, source: Source, stamp: list[int], found: Any, told: bool) -> dict[str, Any]:
    """What goes into the journal; the picture is written first, so that it is there when the journal says so."""
    from mrcnn_keras.data import read_image

    record = {"name": source.name, "stamp": stamp, "picture": work.picture(source)}
    if not isinstance(found, str) and work.pictures:
        try:
            pixels = read_image(source.path)
        except ValueError as error:  # it has gone meanwhile
            found = str(error)
        else:
            found.save_plot(source.target, pixels, score_threshold=work.min_score)
    if isinstance(found, str):
        warn(f"failed: {found}" if source.name in found else f"failed: {source.name}: {found}")
        return {**record, "error": found}
    if told:
        say(f"{source.name}: {work.shown(found)!r}" + (f" -> {source.target}" if work.pictures else ""))
    return {**record, **as_record(found)}
