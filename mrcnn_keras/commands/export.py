"""`mrcnn-keras export`: a SavedModel for TensorFlow Serving."""

import argparse
import pathlib

from mrcnn_keras.commands import options
from mrcnn_keras.commands.models import load_model

HELP = "write a SavedModel for TensorFlow Serving"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("out", type=pathlib.Path, metavar="OUT", help="folder to write, such as exported/1")
    parser.add_argument("--model", type=options.model, required=True, metavar="M", help=options.MODEL_HELP)
    options.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Export; an older SavedModel in OUT is replaced, anything else there is left alone."""
    out = args.out
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / "saved_model.pb").exists()):
        raise options.UsageError(f"OUT: {out} exists and is no SavedModel; choose a new folder")
    load_model(args.model, options.settings(args)).export(args.out)
    print(f"wrote {args.out}")
    return 0
