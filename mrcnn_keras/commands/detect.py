"""`mrcnn-keras detect`: pictures and videos with what was found in them, and all of it as one COCO-style file."""

import argparse
import contextlib
import functools
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from mrcnn_keras.commands import options
from mrcnn_keras.commands.detection import inputs
from mrcnn_keras.commands.detection.detector import Detector
from mrcnn_keras.commands.detection.journal import Journal
from mrcnn_keras.commands.detection.progress import warn
from mrcnn_keras.commands.detection.running import run_work
from mrcnn_keras.commands.detection.video import require_av
from mrcnn_keras.commands.detection.work import RESULTS, Work
from mrcnn_keras.commands.models import load_model, served_model

HELP = "find objects in images and videos"


def add_arguments(parser: argparse.ArgumentParser, nargs: str = "+") -> None:
    """Describe the command's options.

    Args:
        parser: to add them to.
        nargs: how many inputs there may be; "*" for a caller that has some of its own.
    """
    parser.add_argument("inputs", nargs=nargs, type=inputs.given, metavar="IMAGE|FOLDER|VIDEO|CAMERA",
                        help="folders are searched with those below them; camera:0 is the first camera")  # fmt: skip
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model", type=options.model, metavar="M", help=options.MODEL_HELP)
    model.add_argument("--server", metavar="ADDRESS", help="a served model: http://host:8501, or host:8500 for gRPC")
    parser.add_argument("--model-name", metavar="NAME", help="what the server calls the model (mask_rcnn)")
    options.add_detection(parser)
    _add_output(parser)
    options.add_detect_options(parser)
    options.add_settings(parser)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR",
                        help="folder for the results, where the same command goes on")  # fmt: skip
    parser.add_argument("--restart", action="store_true", help="drop what an earlier run left in --out")
    parser.add_argument("--min-score", type=options.fraction, default=0.5, metavar="S",
                        help="draw detections from this score on (0.5); detections.json has all")  # fmt: skip
    parser.add_argument("--no-pictures", action="store_true", help="only detections.json")
    parser.add_argument("--gallery", type=inputs.page_size, nargs="?", const=(4, 4), metavar="ROWSxCOLUMNS",
                        help="write the pictures with the highest scores on one page, gallery.png (4x4)")  # fmt: skip
    parser.add_argument("--gallery-pages", type=options.positive, default=1, metavar="N", help="or on so many (1)")
    parser.add_argument("--every", type=options.positive, default=1, metavar="N", help="one of so many frames (1)")
    parser.add_argument("--frames", type=options.positive, metavar="N", help="at most so many frames of a video (all)")


def run(args: argparse.Namespace) -> int:
    """Detect in every image and video; 1 if some failed."""
    _check(args)
    sources, left_out = _playable(inputs.find_sources(args.inputs, args.out))
    kinds = {source.kind for source in sources}
    if "camera" in kinds and args.gallery:
        raise options.UsageError("--gallery goes with files; a camera shows nothing twice")
    detect = options.detect_options(args)
    if "tiles" in detect:
        _allow_very_large_images()
    with Journal(args.out / inputs.JOURNAL, _identity(args), args.restart) as journal:
        if "camera" in kinds and journal.categories is not None:
            raise options.UsageError(f"{args.out} has results of a camera already; --restart drops them")
        _check_out(args, journal, [*sources, *left_out])
        with Detector(functools.partial(_model, args), args.batch_size, detect) as detector:
            work = Work(sources, args.out, journal, detector, args.batch_size * args.replicas, args.min_score,
                        not args.no_pictures, args.every, args.frames)  # fmt: skip
            status = run_work(work, args.gallery, args.gallery_pages)
    return 1 if left_out else status


def _check(args: argparse.Namespace) -> None:
    """What goes with what."""
    if args.server is None and args.model_name is not None:
        raise options.UsageError("--model-name goes with --server")
    if args.gallery_pages > inputs.MOST_PAGES:
        raise options.UsageError(f"--gallery-pages {args.gallery_pages}: expected at most {inputs.MOST_PAGES}")
    if args.server is not None:
        given = {"--set": args.settings, "--replicas": args.replicas > 1}
        given["--tta, --soft-nms, --tiles and --class-score"] = options.detect_options(args)
        for name in (name for name, value in given.items() if value):
            verb = "go" if "," in name else "goes"
            raise options.UsageError(f"{name} {verb} with --model; a served model is as it was exported")


def _playable(sources: list[inputs.Source]) -> tuple[list[inputs.Source], list[inputs.Source]]:
    """The sources, and apart from them videos among images that lack PyAV to be read."""
    videos = [source for source in sources if source.kind != "image"]
    try:
        if videos:
            require_av()
    except options.UsageError as error:
        if len(videos) == len(sources):
            raise
        for source in videos:
            warn(f"failed: {source.name}: {error}")
        return [source for source in sources if source.kind == "image"], videos
    return sources, []


def _allow_very_large_images() -> None:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # its guard against small files that grow large; who asks for tiles has large ones


def _check_out(args: argparse.Namespace, journal: Journal, sources: Sequence[inputs.Source]) -> None:
    """That nothing of the user's, or of other inputs, is lost in the folder of the results."""
    names = {source.name for source in sources}
    others = (name for name in [*journal.images, *journal.videos] if name not in names and os.path.exists(name))
    other = next(others, None)
    if other is not None:
        raise options.UsageError(
            f"{args.out} has results of a run that differs in its inputs: {other} is not among them now; add it, or "
            "--restart begins anew, another --out leaves it alone"
        )
    pages = [inputs.page_path(args.out, number) for number in range(1, inputs.MOST_PAGES + 1)] if args.gallery else []
    given = {os.path.realpath(source.path) for source in sources}
    page = next((path for path in pages if os.path.realpath(path) in given), None)
    if page is not None:
        raise options.UsageError(f"{page} is an input, and --gallery writes there; choose another --out")
    targets = [args.out / RESULTS, *pages, *(source.target for source in sources if not args.no_pictures)]
    there = next((path for path in targets if os.path.lexists(path)), None)
    if there is not None and journal.categories is None and not args.restart:
        told = "choose another --out, or write over it with --restart"
        raise options.UsageError(f"{there} is there, and of no run that left {inputs.JOURNAL}; {told}")


def _identity(args: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on, by names that a user knows."""
    from mrcnn_keras import __version__

    found = {"the package's version": __version__}
    if args.server is None:
        found["--model"] = _fingerprint(args.model)
    else:
        found["--server"], found["--model-name"] = args.server, args.model_name
    found |= {f"--set {name}": value for name, value in options.settings(args).items()}
    found |= {f"detect's {name}": value for name, value in options.detect_options(args).items()}
    names = ("batch_size", "replicas", "min_score", "no_pictures", "every", "frames")
    return found | {f"--{name.replace('_', '-')}": getattr(args, name) for name in names}


def _fingerprint(model: str) -> str:
    """The id of a public checkpoint, or what tells a file from others wherever it lies."""
    if not os.path.isfile(model):
        return model
    digest = hashlib.sha256()
    with open(model, "rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return f"{pathlib.Path(model).name} {digest.hexdigest()[:16]}"


def _model(args: argparse.Namespace) -> contextlib.AbstractContextManager:
    """What detects: a model of this process, or a client of a served one."""
    if args.server is not None:
        return served_model(args.server, args.model_name or "mask_rcnn")
    return contextlib.nullcontext(load_model(args.model, options.settings(args), args.replicas))
