"""`mrcnn-keras detect`: pictures with what was found in them, and all of it as one COCO-style file."""

import argparse
import contextlib
import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mrcnn_keras.commands import options
from mrcnn_keras.commands.detect_files import Output, detect_files
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
    options.add_detect_options(parser)
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
    parser.add_argument("--batch-size", type=options.positive, default=1, metavar="N", help="images at a time (1)")
    parser.add_argument("--no-pictures", action="store_true", help="write detections.json only")
    parser.add_argument("--restart", action="store_true", help="do not go on with an interrupted run in --out")


def run(args: argparse.Namespace) -> int:
    """Detect in every image; 1 if some failed."""
    files = image_files(args.inputs, args.out)
    if not files:
        raise options.UsageError(f"no images in {', '.join(map(str, args.inputs))}")
    with _model(args) as model:
        return detect_files(model, files, args.out, output(args, _origin(args), as_files=args.server is not None))


def output(args: argparse.Namespace, origin: Mapping[str, Any] | None = None, as_files: bool = False) -> Output:
    """What the options of `add_output_arguments` and, if there, of `detect` ask for.

    Args:
        args: parsed.
        origin: of a run that can be gone on with.
        as_files: whether the model takes files, and not their pixels.
    """
    how = options.detect_options(args) if "tiles" in args else {}
    chosen = Output(args.min_score, args.batch_size, not args.no_pictures, how, as_files)
    return dataclasses.replace(chosen, origin=None if args.restart or origin is None else {**origin, **chosen.key()})


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


def _origin(args: argparse.Namespace) -> dict[str, Any]:
    """What the detections come from."""
    if args.server is not None:
        return {"server": args.server, "model": args.model_name}
    file = pathlib.Path(args.model)
    state = [file.stat().st_size, file.stat().st_mtime_ns] if file.is_file() else None
    return {"model": str(file.absolute()) if state else args.model, "file": state, "settings": options.settings(args)}


def _model(args: argparse.Namespace) -> contextlib.AbstractContextManager:
    """What detects: a model of this process, or a client of a served one."""
    if args.server is not None:
        if args.settings:
            raise options.UsageError("--set goes with --model; a served model is as it was exported")
        if options.detect_options(args):
            raise options.UsageError("--tta, --soft-nms, --tiles and --class-score go with --model")
        return served_model(args.server, args.model_name or "mask_rcnn")
    if args.model_name is not None:
        raise options.UsageError("--model-name goes with --server")
    return contextlib.nullcontext(load_model(args.model, options.settings(args)))


def _search(folder: pathlib.Path, out: pathlib.Path) -> Iterable[pathlib.Path]:
    for path in folder.rglob("*"):
        # A second run must not look at the first one's pictures.
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.resolve().is_relative_to(out):
            yield path
