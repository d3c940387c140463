"""`mrcnn-keras export`: a SavedModel for TensorFlow Serving, an ONNX file, or StableHLO."""

import argparse
import pathlib
from typing import Any

from mrcnn_keras.commands import options
from mrcnn_keras.commands.models import load_model

HELP = "write a SavedModel for TensorFlow Serving, an ONNX file, or StableHLO for XLA's runtimes"
FORMATS = {"saved_model": "tf_saved_model", "onnx": "onnx", "stablehlo": "stablehlo"}
# Options that only some formats have, by the names of the export's arguments.
_OPTIONS = {
    "saved_model": ("precision", "masks", "max_pixels", "input_size", "serving_name", "jit_compile"),
    "onnx": (),
    "stablehlo": ("precision", "input_size", "batch_size"),
}
_FLAGS = {"jit_compile": "--xla"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    out_help = "folder to write, such as exported/1 or model.stablehlo, or ONNX file, such as model.onnx"
    parser.add_argument("out", type=pathlib.Path, metavar="OUT", help=out_help)
    parser.add_argument("--model", type=options.model, required=True, metavar="M", help=options.MODEL_HELP)
    parser.add_argument("--format", choices=FORMATS,
                        help="by default what OUT ends in, .onnx or .stablehlo, saved_model otherwise")  # fmt: skip
    parser.add_argument("--precision", choices=("float32", "bfloat16"),
                        help="of the convolutions (float32)")  # fmt: skip
    parser.add_argument("--masks", choices=("probabilities", "full", "png"),
                        help="over the boxes, or of the image's size as numbers or PNG files")  # fmt: skip
    parser.add_argument("--input-size", type=options.positive, nargs=2, metavar=("HEIGHT", "WIDTH"),
                        help="pad all images to this size; the only size of stablehlo")  # fmt: skip
    parser.add_argument("--batch-size", type=options.positive, metavar="N", help="images at a time, of stablehlo (1)")
    parser.add_argument("--max-pixels", type=options.positive, metavar="N", help="refuse larger photos (2^26)")
    parser.add_argument("--xla", action="store_true", help="compile the network with XLA, on --input-size")
    parser.add_argument("--serving-name", metavar="NAME", help="the server's name for the model (mask_rcnn)")
    options.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Export; an older export of the kind in OUT is replaced, anything else there is left alone."""
    ending = args.out.suffix.removeprefix(".")
    kind = args.format or (ending if ending in FORMATS else "saved_model")
    given = _given(args, kind)
    _check_onnx(args.out) if kind == "onnx" else _check_folder(args.out, kind)
    model = load_model(args.model, options.settings(args))
    try:
        model.export(args.out, format=FORMATS[kind], **given)
    except ValueError as error:
        raise options.UsageError(str(error)) from error
    print(f"wrote {args.out}")
    return 0


def _given(args: argparse.Namespace, kind: str) -> dict[str, Any]:
    """The options that are given, by the names of the export's arguments."""
    values = {**vars(args), "jit_compile": args.xla or None}
    names = dict.fromkeys(name for group in _OPTIONS.values() for name in group)
    given = {name: values[name] for name in names if values[name] is not None}
    for name in given:
        if name not in _OPTIONS[kind]:
            flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
            formats = " and ".join(f"--format {other}" for other, group in _OPTIONS.items() if name in group)
            raise options.UsageError(f"{flag} is for {formats}, not for --format {kind}")
    return given


def _check_folder(out: pathlib.Path, kind: str) -> None:
    from mrcnn_keras.serving.folders import check_folder

    try:
        check_folder(out, {"saved_model": "SavedModel", "stablehlo": "StableHLO export"}[kind])
    except ValueError as error:
        raise options.UsageError(f"OUT: {error}") from error


def _check_onnx(out: pathlib.Path) -> None:
    from mrcnn_keras.serving.onnx_file import require_onnx

    if out.is_dir():
        raise options.UsageError(f"OUT: {out} is a folder; choose the name of a file, such as {out / 'model.onnx'}")
    try:
        require_onnx()
    except ImportError as error:
        raise options.UsageError(str(error)) from error
