"""`mrcnn-keras proposals`: write the boxes in which a model's RPN suspects objects, to train or evaluate on."""

import argparse
import pathlib
import sys

from mrcnn_keras.commands import options
from mrcnn_keras.commands.models import load_model

HELP = "write a model's proposals for a COCO dataset, for 'train --proposals'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("--model", type=options.model, required=True, metavar="M", help=options.MODEL_HELP)
    parser.add_argument("--images", type=options.folder, required=True, metavar="DIR", help="folder of the images")
    parser.add_argument(
        "--annotations", type=options.file, required=True, metavar="FILE", help="COCO annotations (.json)"
    )
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="FILE", help="HDF5 file, replaced if there")
    options.add_detection(parser)
    parser.add_argument("--skip-broken", action="store_true", help="give broken images none, list them, exit with 1")
    options.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Write the file; 1 if images were left out."""
    if args.out.is_dir():
        raise options.UsageError(f"--out: {args.out} is a folder, expected a file")
    from mrcnn_keras.data import CocoDataset, ProposalFile

    dataset = CocoDataset(args.images, args.annotations, skip_broken=args.skip_broken)
    model = load_model(args.model, options.settings(args), args.replicas)
    from mrcnn_keras.training import store_proposals

    args.out.parent.mkdir(parents=True, exist_ok=True)
    store_proposals(model, dataset, args.out, batch_size=args.batch_size, verbose=sys.stdout.isatty())
    written = ProposalFile(args.out)
    print(f"wrote {args.out}: {written.count} proposals of {len(written)} images, {written.most} of one at most")
    skipped = dataset.report().skipped
    for line in skipped:
        print(f"left out: {line}", file=sys.stderr)
    return 1 if skipped else 0
