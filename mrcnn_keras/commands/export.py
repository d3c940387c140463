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
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32",
                        help="of the convolutions (float32)")  # fmt: skip
    parser.add_argument("--masks", choices=("probabilities", "full", "png"), default="probabilities",
                        help="over the boxes, or of the image's size as numbers or PNG files")  # fmt: skip
    parser.add_argument("--input-size", type=options.positive, nargs=2, metavar=("HEIGHT", "WIDTH"),
                        help="pad all images to this size")  # fmt: skip
    parser.add_argument("--max-pixels", type=options.positive, metavar="N", help="refuse larger photos (2^26)")
    parser.add_argument("--xla", action="store_true", help="compile the network with XLA, on --input-size")
    parser.add_argument("--serving-name", metavar="NAME", help="the server's name for the model (mask_rcnn)")
    options.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Export; an older SavedModel in OUT is replaced, anything else there is left alone."""
    out = args.out
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / "saved_model.pb").exists()):
        raise options.UsageError(f"OUT: {out} exists and is no SavedModel; choose a new folder")
    given = {"max_pixels": args.max_pixels, "input_size": args.input_size, "serving_name": args.serving_name}
    given = {name: value for name, value in given.items() if value is not None}
    model = load_model(args.model, options.settings(args))
    try:
        model.export(args.out, precision=args.precision, masks=args.masks, jit_compile=args.xla, **given)
    except ValueError as error:
        raise options.UsageError(str(error)) from error
    print(f"wrote {args.out}")
    return 0
