"""`mrcnn-keras convert`: a checkpoint in another program's format."""

import argparse
import pathlib

from mrcnn_keras.commands import options
from mrcnn_keras.commands.models import load_model

HELP = "convert a checkpoint: to .keras, to Detectron2's .pkl, to torchvision's .pth"
ENDINGS = (".keras", ".pkl", ".pth")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("model", type=options.model, metavar="IN", help="a checkpoint's file or id, or a .keras file")
    parser.add_argument("out", type=pathlib.Path, metavar="OUT", help=f"file to write; ends in {', '.join(ENDINGS)}")
    options.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Convert; OUT appears when it is complete."""
    if args.out.suffix not in ENDINGS:
        raise options.UsageError(f"OUT: {args.out} ends in none of {', '.join(ENDINGS)}")
    if not args.out.parent.is_dir():
        raise options.UsageError(f"OUT: there is no folder {args.out.parent}")
    if args.out.exists() and pathlib.Path(args.model).exists() and args.out.samefile(args.model):
        raise options.UsageError(f"OUT: {args.out} is the file to convert; choose another name")
    model = load_model(args.model, options.settings(args))
    if args.out.suffix == ".keras":
        model.save(args.out)
    else:
        from mrcnn_keras.weights.writing import save_checkpoint

        save_checkpoint(model, args.out)
    print(f"wrote {args.out}")
    return 0
