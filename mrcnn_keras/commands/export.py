"""`mrcnn-keras export`: a SavedModel for TensorFlow Serving, or an ONNX file."""

import argparse
import pathlib
from typing import Any

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
    parser.add_argument("--precision", choices=("float32", "bfloat16"),
                        help="of the convolutions (float32)")  # fmt: skip
    parser.add_argument("--masks", choices=("probabilities", "full", "png"),
                        help="over the boxes, or of the image's size as numbers or PNG files")  # fmt: skip
    parser.add_argument("--input-size", type=options.positive, nargs=2, metavar=("HEIGHT", "WIDTH"),
                        help="pad all images to this size")  # fmt: skip
    parser.add_argument("--max-pixels", type=options.positive, metavar="N", help="refuse larger photos (2^26)")
    parser.add_argument("--xla", action="store_true", help="compile the network with XLA, on --input-size")
    parser.add_argument("--serving-name", metavar="NAME", help="the server's name for the model (mask_rcnn)")
    options.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Export; an older SavedModel or file in OUT is replaced, anything else there is left alone."""
    kind = args.format or ("onnx" if args.out.suffix == ".onnx" else "saved_model")
    given = _served(args)
    if kind == "onnx" and given:
        raise options.UsageError(f"--{next(iter(given)).replace('_', '-')} is for a SavedModel, not for --format onnx")
    _check_onnx(args.out) if kind == "onnx" else _check_folder(args.out)
    model = load_model(args.model, options.settings(args))
    try:
        model.export(args.out, format=FORMATS[kind], **given)
    except ValueError as error:
        raise options.UsageError(str(error)) from error
    print(f"wrote {args.out}")
    return 0


def _served(args: argparse.Namespace) -> dict[str, Any]:
    """The options of a SavedModel that are given, by the names of `export_saved_model`'s arguments."""
    given = {name: getattr(args, name) for name in ("precision", "masks", "max_pixels", "input_size", "serving_name")}
    given["jit_compile"] = args.xla or None
    return {name: value for name, value in given.items() if value is not None}


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
