"""Detection in many files: a picture of each, one COCO-style file of all, and a run that can be gone on with."""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mrcnn_keras.data.spool import Spool

_AHEAD = 4  # batches that the model gets at once, so that it can read and paste beside the network
_DIFFERS = (
    "is from a run with another model or other options that was interrupted; go on with those, or add --restart to "
    "begin anew"
)


@dataclasses.dataclass(frozen=True)
class Output:
    """What is written, and how it is computed.

    Attributes:
        min_score: of the detections drawn, 0..1.
        batch_size: images that go through the network together, 1 or more.
        pictures: whether a picture of each image is written.
        options: further arguments of the model's `detect`.
        as_files: the model is given paths; else pixels.
        origin: what the detections depend on, as JSON can hold it; an interrupted run of the same origin is gone on
            with. None: every run begins anew.
    """

    min_score: float = 0.5
    batch_size: int = 1
    pictures: bool = True
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    as_files: bool = False
    origin: Mapping[str, Any] | None = None

    def key(self) -> dict[str, Any]:
        """What a run and the one that goes on with it must have in common."""
        drawn = {"min_score": self.min_score, "pictures": self.pictures}
        return {**drawn, "batch_size": self.batch_size, "options": dict(self.options)}


def detect_files(
    model: Any, files: Mapping[pathlib.Path, pathlib.Path], out: pathlib.Path, output: Output | None = None
) -> int:
    """Write a picture for every image, and `detections.json`.

    The JSON holds `images`, `categories` and `annotations`, the last as `Detections.to_coco` makes them, with an `id`.
    What was found so far is in `.detections.partial`, from which the same run goes on when it was interrupted; images
    that failed are tried again. Memory does not grow with the images.

    Args:
        model: anything with `detect`.
        files: image -> picture to write.
        out: folder of `detections.json`.
        output: see there.

    Returns:
        0, or 1 if images could not be read or a server was lost; standard error names them.

    Raises:
        ValueError: an interrupted run in the folder is of another origin.
    """
    output = output or Output()
    out.mkdir(parents=True, exist_ok=True)
    partial = out / ".detections.partial"
    if output.origin is None:
        partial.unlink(missing_ok=True)
    with Spool(partial, output.origin or {}, _DIFFERS) as spool:
        run = _Run(model, files, output, spool)
        run.detect_all()
        done = [str(path) for path in files if str(path) in spool.names]
        count = _write(out / "detections.json", spool, done, model.config)
        if not run.lost:
            spool.remove()
    print(f"{count} detections of {len(done)} images in {out / 'detections.json'}")
    return run.report()


class _Run:
    """A run through the images in chunks, which begin at the same images however often it was interrupted."""

    def __init__(self, model: Any, files: Mapping[pathlib.Path, pathlib.Path], output: Output, spool: Spool):
        self.model, self.files, self.output, self.spool = model, files, output, spool
        self.failed, self.lost = 0, False

    def detect_all(self) -> None:
        """Put what is found into the spool, chunk by chunk."""
        done = sum(str(path) in self.spool.names for path in self.files)
        if done:
            print(f"{done} of {len(self.files)} images were done before", flush=True)
        paths, size = list(self.files), self._chunk_size()
        chunks = [paths[start : start + size] for start in range(0, len(paths), size)]
        for chunk in _with_progress(chunks, len(paths)):
            self._detect(chunk)
            if self.lost:
                break

    def report(self) -> int:
        """Say how many images failed; the exit status."""
        if not self.failed:
            return 0
        untried = sum(str(path) not in self.spool.names for path in self.files) - self.failed
        more = f", {untried} were not tried" if untried else ""
        print(f"{self.failed} of {len(self.files)} images failed{more}", file=sys.stderr)
        return 1

    def _chunk_size(self) -> int:
        ahead = 1 if self.output.as_files or "tiles" in self.output.options else _AHEAD
        return self.output.batch_size * ahead

    def _detect(self, chunk: Sequence[pathlib.Path]) -> None:
        missing = {path for path in chunk if str(path) not in self.spool.names}
        pixels = {path: one for path in chunk if missing and (one := self._read(path, path in missing)) is not None}
        missing &= set(pixels)
        if not missing:
            return
        # All of the chunk, for what is found in an image depends, by rounding, on those it is padded with.
        try:
            found = self._found(pixels)
        except (ValueError, OSError) as error:
            if len(pixels) > 1 and not isinstance(error, ConnectionError):  # it names one; the others are to be seen
                for path in [path for path in chunk if path in missing]:
                    self._detect([path])
                return
            self.lost |= isinstance(error, ConnectionError)  # the server is gone, and was waited for
            self._fail(next(path for path in chunk if path in missing), error)
            return
        for path, one in zip(pixels, found, strict=True):
            if path in missing:
                self._keep(path, pixels[path], one)

    def _found(self, pixels: Mapping[pathlib.Path, Any]) -> list:
        given = list(pixels if self.output.as_files else pixels.values())
        options = {"batch_size": self.output.batch_size, "masks": "rle", **self.output.options}
        return self.model.detect(given, **options)

    def _read(self, path: pathlib.Path, wanted: bool) -> Any:
        """The pixels; None where they cannot be read, which is told of images that are wanted."""
        from mrcnn_keras.data import read_image

        try:
            return read_image(path)
        except (ValueError, OSError) as error:
            if wanted:
                self._fail(path, error)
            return None

    def _fail(self, path: pathlib.Path, error: Exception) -> None:
        self.failed += 1
        print(f"failed: {path}: {error}", file=sys.stderr, flush=True)

    def _keep(self, path: pathlib.Path, pixels: Any, found: Any) -> None:
        shown, target = found[found.scores >= self.output.min_score], self.files[path]
        if self.output.pictures:
            found.save_plot(target, pixels, score_threshold=self.output.min_score)
        if not sys.stdout.isatty():
            print(f"{path}: {shown!r}" + (f" -> {target}" if self.output.pictures else ""), flush=True)
        size = {"height": found.size[0], "width": found.size[1]}
        self.spool.add({"file_name": str(path), **size, "found": found.to_coco(0)})


def _write(path: pathlib.Path, spool: Spool, names: Sequence[str], config: Any) -> int:
    """Write the file, whole or not at all; how many detections there are."""
    points = _keypoints(config)
    categories = [{"id": i, "name": name, **points} for i, name in enumerate(config.names, start=1)]
    partial, count = path.with_name(f".{path.name}.partial"), 0
    with open(partial, "w") as file:
        file.write('{"images": [')
        for number, record in enumerate(spool.find(names), start=1):
            image = {"id": number, **{name: record[name] for name in ("file_name", "height", "width")}}
            file.write((", " if number > 1 else "") + json.dumps(image))
        file.write(f'], "categories": {json.dumps(categories)}, "annotations": [')
        for number, record in enumerate(spool.find(names), start=1):
            for one in record["found"]:
                count += 1
                file.write((", " if count > 1 else "") + json.dumps({**one, "image_id": number, "id": count}))
        file.write("]}\n")
    partial.replace(path)
    return count


def _keypoints(config: Any) -> dict[str, list]:
    """What a category of a COCO file says of its keypoints; nothing where they have no names."""
    from mrcnn_keras.data import KeypointSet

    if not config.keypoint_names:
        return {}
    points = KeypointSet(config.keypoint_names, skeleton=config.keypoint_skeleton, sigmas=config.keypoint_sigmas)
    return points.as_category()


def _with_progress(chunks: Sequence[Sequence], total: int) -> Iterator[Sequence]:
    """The chunks, with a bar of their items on a terminal."""
    if not sys.stdout.isatty():
        yield from chunks
        return
    from rich import progress as bars

    columns = (bars.TextColumn("detecting"), bars.BarColumn(), bars.MofNCompleteColumn(), bars.TextColumn("images"),
               bars.TimeElapsedColumn(), bars.TextColumn("left"), bars.TimeRemainingColumn())  # fmt: skip
    with bars.Progress(*columns) as progress:
        task = progress.add_task("", total=total)
        for chunk in chunks:
            yield chunk
            progress.advance(task, len(chunk))
