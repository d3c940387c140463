"""Validation of a COCO dataset: what is listed, then every image with its annotations, in parallel."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator

from mrcnn_keras.data.cpus import usable_cpus
from mrcnn_keras.data.validation.findings import KINDS, FindingLog, Note, make_finding
from mrcnn_keras.data.validation.inventory import Inventory
from mrcnn_keras.data.validation.report import ValidationReport
from mrcnn_keras.data.validation.statistics import Tally
from mrcnn_keras.data.validation.worker import Task, Worker
from mrcnn_keras.utils.processes import map_in_processes

# Images handed to a process at a time.
_IMAGES = 16
# While a process starts, another one checks as many. Processes, because checking annotations holds Python's lock.
_IMAGES_A_PROCESS = 200


def validate_coco(
    image_dir: str | os.PathLike,
    annotation_file: str | os.PathLike,
    jobs: int | None = None,
    progress: bool = False,
) -> ValidationReport:
    """Check every image and every annotation of a COCO dataset, and count what is in it.

    Images are decoded as training does, which finds truncated files. The annotation file is read image by image, so
    memory does not grow with its segmentations.

    Args:
        image_dir: folder that the file names in the JSON start from.
        annotation_file: JSON file with "images", "annotations" and "categories".
        jobs: processes at the same time, >= 1, fewer for few images; None: as many as there are CPUs.
        progress: show a progress bar on standard error.

    Returns:
        The findings, errors and warnings, and statistics. An annotation file that is not JSON is a finding.

    Raises:
        ValueError: the folder or the file does not exist, or `jobs` is below 1.
    """
    image_dir, annotation_file = pathlib.Path(image_dir), pathlib.Path(annotation_file)
    jobs = usable_cpus() if jobs is None else jobs
    if not image_dir.is_dir():
        raise ValueError(f"image_dir={str(image_dir)!r} is not a folder")
    if not annotation_file.is_file():
        raise ValueError(f"annotation file {annotation_file} does not exist")
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    log, tally, statistics = FindingLog(), Tally(), None
    with _progress(progress) as stage:
        try:
            inventory = Inventory(annotation_file, log, stage("reading", annotation_file.stat().st_size))
        except ValueError as error:
            log = FindingLog()  # what is missing may just not have been read
            log.add([make_finding(Note("broken_file", str(error)), annotation_file.name)])
        else:
            worker = Worker(image_dir, annotation_file, inventory.categories)
            _check_images(inventory, worker, jobs, stage("checking images", len(inventory.images)), log, tally)
            _conclude(inventory, tally, log, annotation_file.name)
            statistics = tally.finish(inventory.categories)
    counts = {kind: log.counts[kind] for kind in KINDS if log.counts[kind]}
    return ValidationReport(str(image_dir), str(annotation_file), tuple(log.kept), counts, statistics)


def _check_images(
    inventory: Inventory, worker: Worker, jobs: int, watch: Callable[[int], None], log: FindingLog, tally: Tally
) -> None:
    done, jobs = 0, min(jobs, 1 + len(inventory.images) // _IMAGES_A_PROCESS)
    results = map(worker, _tasks(inventory)) if jobs == 1 else map_in_processes(worker, _tasks(inventory), jobs)
    for findings, part in results:
        log.add(findings)
        tally.add(part)
        done += part.counts["images"]
        watch(done)


def _tasks(inventory: Inventory) -> Iterator[list[Task]]:
    for first in range(0, len(inventory.images), _IMAGES):
        tasks = []
        for row, image in enumerate(inventory.images[first : first + _IMAGES], start=first):
            may_be_empty = image.id is None or image.id in inventory.shared_ids
            tasks.append(Task(image, inventory.places_of(row), may_be_empty))
        yield tasks


def _conclude(inventory: Inventory, tally: Tally, log: FindingLog, file: str) -> None:
    """Findings that only the whole dataset shows."""
    for category in inventory.categories.values():
        if not tally.images[category.id]:
            note = Note("category_without_annotations", f"category {category.id} {category.name!r} has none")
            log.add([make_finding(note, file)])
    if tally.counts["annotations"] and not tally.counts["masks"] and log.drop("empty_segmentation"):
        log.add([make_finding(Note("only_boxes", f"none of {tally.counts['annotations']} annotations has one"), file)])
    boxes, tiny = tally.counts["boxes"], tally.counts["first_pixel"]
    if 2 * tiny > boxes:
        found = f"{tiny} of {boxes} boxes lie within the first pixel of their image"
        log.add([make_finding(Note("normalised_boxes", found), file)])


@contextlib.contextmanager
def _progress(wanted: bool) -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """A function that starts a stage of so many steps and returns what to call with the steps done."""
    if not wanted:
        yield lambda name, total: lambda done: None
        return
    from rich import progress as bars
    from rich.console import Console

    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.TaskProgressColumn(),
               bars.TimeElapsedColumn(), bars.TextColumn("left"), bars.TimeRemainingColumn())  # fmt: skip
    with bars.Progress(*columns, console=Console(stderr=True)) as bar:

        def stage(name: str, total: int) -> Callable[[int], None]:
            task = bar.add_task(name, total=total)
            return lambda done: bar.update(task, completed=done)

        yield stage
