"""The passes over a video: one detects in its frames, one draws what was found; and the pass over a camera."""

import contextlib
import fractions
import itertools
from collections.abc import Sequence
from typing import Any

from mrcnn_keras.commands.detection import video
from mrcnn_keras.commands.detection.inputs import Source, camera_number
from mrcnn_keras.commands.detection.progress import progress, say, warn
from mrcnn_keras.commands.detection.results import as_found, as_record
from mrcnn_keras.commands.detection.work import Work, chunks
from mrcnn_keras.commands.options import UsageError

_NEARLY_ALL = 0.9  # of the frames that a header tells of; cuts that editors make may hide a few
_AT_ONCE = 8  # frames between two lines of the journal, or a batch of each device


def detect_video(work: Work, source: Source) -> int:
    """Detect in the frames of a video that the journal lacks, and draw the annotated one if it is not there.

    Returns: how many frames the model was given.
    """
    entry = work.journal.videos.get(source.name)
    stamp = {"stamp": source.stamp(), "picture": work.picture(source)}
    same = entry is not None and {name: entry.start[name] for name in stamp} == stamp
    done = 0
    if not same or not entry.ended or entry.error is not None:
        done = _detect_frames(work, source, entry.frames if same else None, stamp)
    entry = work.journal.videos.get(source.name)
    drawn = entry.drawn and work.is_own(source) and source.target.exists()
    if work.pictures and entry.frames and (done or not drawn):
        _draw(work, source, entry.frames)
    return done


def _detect_frames(work: Work, source: Source, before: int | None, stamp: dict[str, Any]) -> int:
    """Adds the frames after the first `before`, or after a new start where that is None, to the journal."""
    done, error, started = before or 0, None, before is not None
    try:
        with video.VideoReader(source.path, every=work.every) as reader:
            if not started or work.journal.videos[source.name].start["rate"] is None:  # it could not be opened then
                started = _start(work, source, {**stamp, "rate": str(reader.rate)})
            with progress(f"detecting in {source.path.name}", _total(work, reader, done), "frames") as bar:
                frames = itertools.islice(reader.frames(done), _rest(work, done))
                for part in chunks(frames, work.together * max(1, _AT_ONCE // work.together)):
                    _detect_part(work, source, part)
                    done += len(part)
                    bar.advance(len(part))
            _tell_of_missing_frames(work, source, reader.about(), done)
        error = None if done else f"cannot read video {source.path}: it has no frames"
    except UsageError:
        raise
    except ValueError as fault:
        error = str(fault)
        if not started:
            _start(work, source, {**stamp, "rate": None})
    if error:
        warn(f"failed: {error}")
    entry = work.journal.videos[source.name]
    if not entry.ended or entry.error != error:
        work.journal.add({"ended": source.name, "error": error})
    return done - (before or 0)


def _tell_of_missing_frames(work: Work, source: Source, about: int | None, done: int) -> None:
    expected = about if work.limit is None else min(about or 0, work.limit)
    if done and expected and done < _NEARLY_ALL * expected:
        warn(f"{source.name}: its header tells of {expected} frames, {done} could be read; is the file whole?")


def _start(work: Work, source: Source, start: dict[str, Any]) -> bool:
    work.begin()
    source.target.unlink(missing_ok=True)  # of an older run
    work.journal.add({"video": source.name, "start": start})
    return True


def _detect_part(work: Work, source: Source, part: Sequence[video.Frame]) -> list[Any]:
    found = work.detector([frame.pixels for frame in part])
    records = [{"frame": frame.number, "time": frame.time, **as_record(one)} for frame, one in zip(part, found)]
    work.journal.add({"frames": records, "of": source.name})
    return found


def _rest(work: Work, done: int) -> int | None:
    return None if work.limit is None else max(0, work.limit - done)


def _total(work: Work, reader: video.VideoReader, done: int) -> int | None:
    about = reader.about()
    if about is None or work.limit is None:
        known = about or work.limit
        return None if known is None else max(0, known - done)
    return max(0, min(about, work.limit) - done)


def _draw(work: Work, source: Source, count: int) -> None:
    """Write the annotated video, from the frames and the journal alone."""
    rate = fractions.Fraction(work.journal.videos[source.name].start["rate"])
    records, categories = work.journal.frames(source.name), work.journal.categories
    with (
        video.VideoReader(source.path, every=work.every) as reader,
        video.VideoWriter(source.target, rate) as writer,
        progress(f"drawing {source.path.name}", count, "frames") as bar,
    ):
        for record, frame in zip(records, reader.frames()):
            _draw_frame(work, writer, frame, as_found(record, categories))
            bar.advance()
    work.journal.add({"drawn": source.name})
    say(f"{source.name}: {count} frames -> {source.target}")


def _draw_frame(work: Work, writer: video.VideoWriter, frame: video.Frame, found: Any) -> None:
    from mrcnn_keras.visualize import render_detections

    writer.add(render_detections(frame.pixels, found, score_threshold=work.min_score), frame.time)


def watch_camera(work: Work, source: Source) -> int:
    """Detect in what a camera sees, as fast as it goes, until so many frames are done or the user interrupts.

    Returns: how many frames the model was given.
    """
    done, error, device = 0, None, video.camera_device(camera_number(source.path))
    with video.VideoReader(*device, every=work.every) as reader:
        work.begin()
        start = {"stamp": [], "picture": work.picture(source), "rate": str(reader.rate)}
        work.journal.add({"video": source.name, "start": start})
        recorder = video.VideoWriter(source.target, reader.rate) if work.pictures else contextlib.nullcontext()
        with recorder, progress(f"watching {source.name}", work.limit, "frames") as bar:
            try:
                for part in chunks(itertools.islice(reader.frames(), work.limit), work.together):
                    for frame, found in zip(part, _detect_part(work, source, part)):
                        if work.pictures:
                            _draw_frame(work, recorder, frame, found)
                    done += len(part)
                    bar.advance(len(part))
            except KeyboardInterrupt:  # the usual end
                pass
            except ValueError as fault:  # it was unplugged; what it has shown is not lost for that
                error = str(fault)
                warn(f"failed: {error}")
    work.journal.add({"ended": source.name, "error": error})
    return done
