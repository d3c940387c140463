"""A run of the command: the passes, the files that are made of their results, and what is told at the end."""

from collections.abc import Iterator
from typing import Any

from mrcnn_keras.commands.detection.gallery import draw_gallery
from mrcnn_keras.commands.detection.images import detect_images
from mrcnn_keras.commands.detection.progress import say, warn
from mrcnn_keras.commands.detection.results import write_results
from mrcnn_keras.commands.detection.videos import detect_video, watch_camera
from mrcnn_keras.commands.detection.work import RESULTS, Work


def run_work(work: Work, gallery: tuple[int, int] | None = None, pages: int = 1) -> int:
    """Detect in what is left, and write what the command writes.

    Args:
        work: the run.
        gallery: rows and columns of its pages, or None.
        pages: of it at most.

    Returns:
        0, or 1 if something could not be read or a server was lost; standard error names it.
    """
    failed = set(_failures(work))
    known = _known(work)
    if known:
        say(f"{known} of {len(work.sources)} inputs were done in an earlier run")
    try:
        done = _detect(work)
    except ConnectionError as error:
        warn(f"failed: {error}")
        warn(f"{len(work.sources) - _known(work)} of {len(work.sources)} inputs are left; the same command goes on")
        return 1
    except KeyboardInterrupt:
        warn("\nthe same command goes on from here")
        raise
    if not done:
        say("nothing was left to detect")
    if work.journal.categories is not None:
        _write(work)
        if gallery is not None:
            draw_gallery(work, *gallery, pages)
    return _report(work, failed)


def _detect(work: Work) -> int:
    done = detect_images(work)
    for source in work.sources:
        if source.kind == "video":
            done += detect_video(work, source)
        elif source.kind == "camera":
            done += watch_camera(work, source)
    return done


def _write(work: Work) -> None:
    moving = [source for source in work.sources if source.kind != "image" and source.name in work.journal.videos]
    videos = [_video(work, number, source.name) for number, source in enumerate(moving, start=1)]
    path = work.out / RESULTS
    numbers = {video["file_name"]: video["id"] for video in videos}
    images, objects = write_results(path, lambda: _records(work, numbers), work.journal.categories, videos)
    what = "images and frames" if videos else "images"
    say(f"{objects} detections of {images} {what} in {path}")


def _video(work: Work, number: int, name: str) -> dict[str, Any]:
    start = work.journal.videos[name].start
    rate, _, divisor = (start["rate"] or "0").partition("/")
    return {"id": number, "file_name": name, "frame_rate": float(rate) / float(divisor or 1)}


def _records(work: Work, videos: dict[str, int]) -> Iterator[dict[str, Any]]:
    for source in work.sources:
        if source.name in videos:
            for frame in work.journal.frames(source.name):
                yield {"file_name": source.name, "video_id": videos[source.name], **frame}
        elif source.name in work.journal.images and work.journal.images[source.name].error is None:
            yield {"file_name": source.name, **work.journal.image(source.name)}


def _known(work: Work) -> int:
    """Inputs that the journal has results of, whole and without an error."""
    images, videos = work.journal.images, work.journal.videos
    return sum(
        (source.name in images and images[source.name].error is None)
        or (source.name in videos and videos[source.name].ended and videos[source.name].error is None)
        for source in work.sources
    )


def _failures(work: Work) -> dict[str, str]:
    """What is wrong, by name."""
    entries = {**work.journal.images, **work.journal.videos}
    return {one.name: entries[one.name].error for one in work.sources
            if one.name in entries and entries[one.name].error is not None}  # fmt: skip


def _report(work: Work, before: set[str]) -> int:
    failures = _failures(work)
    for name, error in failures.items():
        if name in before and work.journal.images.get(name) is not None:  # the others were told just now
            warn(f"failed before, and still: {error if name in error else f'{name}: {error}'}")
    if failures:
        what = "images" if all(source.kind == "image" for source in work.sources) else "inputs"
        warn(f"{len(failures)} of {len(work.sources)} {what} failed")
    return 1 if failures else 0
