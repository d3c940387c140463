"""`mrcnn-keras detect`: pictures with what was found in them, and all of it as one COCO-style file."""

import argparse
import contextlib
import json
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from mrcnn_keras.commands import options
from mrcnn_keras.commands.models import load_model, served_model

HELP = "find objects in images"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
_WRITTEN = (".jpg", ".jpeg", ".png", ".webp")  # pictures keep these; others become .png


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("inputs", nargs="+", type=options.existing, metavar="IMAGE|FOLDER", help="folders are searched")
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model", type=options.model, metavar="M", help=options.MODEL_HELP)
    model.add_argument("--server", metavar="ADDRESS", help="a served model: http://host:8501, or host:8500 for gRPC")
    parser.add_argument("--model-name", metavar="NAME", help="what the server calls the model (mask_rcnn)")
    add_output_arguments(parser)
    options.add_settings(parser)


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `detect` that the samples share."""
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--min-score",
        type=options.fraction,
        default=0.5,
        metavar="S",
        help="draw detections from this score on (0.5); detections.json has all the model gives",
    )


def run(args: argparse.Namespace) -> int:
    """Detect in every image; 1 if some failed."""
    files = image_files(args.inputs, args.out)
    if not files:
        raise options.UsageError(f"no images in {', '.join(map(str, args.inputs))}")
    with _model(args) as model:
        return detect_files(model, files, args.out, args.min_score)


def image_files(inputs: Sequence[pathlib.Path], out: pathlib.Path) -> dict[pathlib.Path, pathlib.Path]:
    """The image files under `inputs`, each with the picture to write for it, under `out` and no two the same."""
    targets: dict[pathlib.Path, pathlib.Path] = {}
    taken = set()
    for given in inputs:
        found = [given] if given.is_file() else sorted(_search(given, out.resolve()))
        for path in found:
            target = out / (path.relative_to(given) if given.is_dir() else path.name)
            if target.suffix.lower() not in _WRITTEN:
                target = target.with_suffix(".png")
            name, number = target, 1
            while name in taken:
                number += 1
                name = target.with_stem(f"{target.stem}_{number}")
            if path not in targets:
                taken.add(name)
                targets[path] = name
    return targets


def detect_files(model: Any, files: dict[pathlib.Path, pathlib.Path], out: pathlib.Path, min_score: float = 0.5) -> int:
    """Write a picture for every image, and `detections.json`.

    The JSON holds `images`, `categories` and `annotations`, the last as `Detections.to_coco` makes them, with an `id`.

    Args:
        model: anything with `detect`.
        files: image -> picture to write.
        out: folder of `detections.json`.
        min_score: of the detections drawn, 0..1.

    Returns:
        0, or 1 if images could not be read or a server was lost; standard error names them.
    """
    images, results, failures = [], [], []
    for path, target in files.items():
        try:
            pixels, found = _detect(model, path)
        except (ValueError, OSError) as error:
            failures.append(f"{path}: {error}")
            print(f"failed: {failures[-1]}", file=sys.stderr)
            if isinstance(error, ConnectionError):  # the server is gone, and was waited for
                break
            continue
        images.append({"id": len(images) + 1, "file_name": str(path), "height": found.size[0], "width": found.size[1]})
        results += found.to_coco(images[-1]["id"])
        found.save_plot(target, pixels, score_threshold=min_score)
        print(f"{path}: {found[found.scores >= min_score]!r} -> {target}")
    out.mkdir(parents=True, exist_ok=True)
    keypoints = _keypoints(model.config)
    categories = [{"id": i, "name": name, **keypoints} for i, name in enumerate(model.config.names, start=1)]
    for number, result in enumerate(results, start=1):
        result["id"] = number
    written = out / "detections.json"
    written.write_text(json.dumps({"images": images, "categories": categories, "annotations": results}) + "\n")
    print(f"{len(results)} detections of {len(images)} images in {written}")
    if failures:
        untried = len(files) - len(images) - len(failures)
        more = f", {untried} were not tried" if untried else ""
        print(f"{len(failures)} of {len(files)} images failed{more}", file=sys.stderr)
    return 1 if failures else 0


def _model(args: argparse.Namespace) -> contextlib.AbstractContextManager:
    """What detects: a model of this process, or a client of a served one."""
    if args.server is not None:
        if args.settings:
            raise options.UsageError("--set goes with --model; a served model is as it was exported")
        return served_model(args.server, args.model_name or "mask_rcnn")
    if args.model_name is not None:
        raise options.UsageError("--model-name goes with --server")
    return contextlib.nullcontext(load_model(args.model, options.settings(args)))


def _keypoints(config: Any) -> dict[str, list]:
    """What a category of a COCO file says of its keypoints; nothing where they have no names."""
    from mrcnn_keras.data import KeypointSet

    if not config.keypoint_names:
        return {}
    points = KeypointSet(config.keypoint_names, skeleton=config.keypoint_skeleton, sigmas=config.keypoint_sigmas)
    return points.as_category()


def _detect(model: Any, path: pathlib.Path) -> tuple[Any, Any]:
    from mrcnn_keras.data import read_image

    pixels = read_image(path)
    return pixels, model.detect(path, masks="rle")[0]


def _search(folder: pathlib.Path, out: pathlib.Path) -> Iterable[pathlib.Path]:
    for path in folder.rglob("*"):
        # A second run must not look at the first one's pictures.
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.resolve().is_relative_to(out):
            yield path
