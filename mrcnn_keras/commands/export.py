"""`mrcnn-keras export`: a SavedModel for TensorFlow Serving, or an ONNX file."""

import argparse
import pathlib

from mrcnn_keras.commands import options
from mrcnn_keras.commands.models import load_model

HELP = "write a SavedModel for TensorFlow Serving, or an ONNX file"
FORMATS = {"saved_model": "tf_saved_model", "onnx": "onnx"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    out_help = "folder to write, such as exported/1, or ONNX file, such as model.onnx"
    parser.add_argument("out", type=pathlib.Path, metavar="OUT", help=out_help)
    parser.add_argument("--model", type=options.model, required=True, metavar="M", help=options.MODEL_HELP)
    parser.add_argument(
        "--format", choices=FORMATS, help="by default onnx where OUT ends in .onnx, saved_model otherwise"
    )
    options.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Export; an older SavedModel or file in OUT is replaced, anything else there is left alone."""
    kind = args.format or ("onnx" if args.out.suffix == ".onnx" else "saved_model")
    _check_onnx(args.out) if kind == "onnx" else _check_folder(args.out)
    load_model(args.model, options.settings(args)).export(args.out, format=FORMATS[kind])
    print(f"wrote {args.out}")
    return 0


def _check_folder(out: pathlib.Path) -> None:
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / "saved_model.pb").exists()):
        raise options.UsageError(f"OUT: {out} exists and is no SavedModel; choose a new folder")


def _check_onnx(out: pathlib.Path) -> None:
    from mrcnn_keras.serving.onnx_file import require_onnx

    if out.is_dir():
        raise options.UsageError(f"OUT: {out} is a folder; choose the name of a file, such as {out / 'model.onnx'}")
    try:
        require_onnx()
    except ImportError as error:
        raise options.UsageError(str(error)) from error
