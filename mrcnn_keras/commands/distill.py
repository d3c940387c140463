"""`mrcnn-keras distill`: label photos with a model, so that it can be trained on them, too (data distillation)."""

import argparse
import pathlib
import sys

from mrcnn_keras.commands import options
from mrcnn_keras.commands.models import load_model

HELP = "label photos with a model, to train on them, too"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("--model", type=options.model, required=True, metavar="M", help=options.MODEL_HELP)
    parser.add_argument("--labelled-images", type=options.folder, required=True, metavar="DIR",
                        help="folder of the images that people have labelled")  # fmt: skip
    parser.add_argument("--labelled-annotations", type=options.file, required=True, metavar="FILE",
                        help="their COCO annotations (.json); the photos get as many objects an image")  # fmt: skip
    parser.add_argument("--images", nargs="+", type=options.existing, required=True, metavar="DIR|FILE",
                        help="photos without labels; folders are searched")  # fmt: skip
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="FILE", help="COCO annotations to write")
    parser.add_argument("--no-tta", action="store_true", help="one look at each photo, not test-time augmentation")
    parser.add_argument("--threshold", type=options.fraction, metavar="S",
                        help="least score of a label (chosen for each class)")  # fmt: skip
    parser.add_argument("--keypoint-threshold", type=float, metavar="S",
                        help="least score of a visible keypoint (chosen)")  # fmt: skip
    options.add_detection(parser)
    options.add_classes(parser)
    parser.add_argument("--skip-broken", action="store_true", help="leave broken labelled images out")
    options.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Label the photos; 1 if some could not be read."""
    if args.out.is_dir():
        raise options.UsageError(f"--out: {args.out} is a folder, expected a file")
    if args.out.exists() and args.out.samefile(args.labelled_annotations):
        raise options.UsageError(f"--out: {args.out} is --labelled-annotations; choose another file")
    from mrcnn_keras.data import CocoDataset, PhotosDataset
    from mrcnn_keras.distillation import distill

    try:
        photos = PhotosDataset(args.images)
    except ValueError as error:
        raise options.UsageError(f"--images: {error}") from error
    reading = {"skip_broken": args.skip_broken, "classes": args.classes}
    labelled = CocoDataset(args.labelled_images, args.labelled_annotations, **reading)
    done = distill(
        load_model(args.model, options.settings(args), args.replicas),
        photos,
        labelled,
        args.out,
        tta=not args.no_tta,
        score_threshold=args.threshold,
        keypoint_threshold=args.keypoint_threshold,
        batch_size=args.batch_size,
        verbose=sys.stdout.isatty(),
    )
    print(done)
    print(f"wrote {args.out}: {sum(done.num_objects.values())} objects in {done.num_images} images of {done.image_dir}")
    for line in done.report.skipped:
        print(f"left out: {line}", file=sys.stderr)
    return 1 if done.report.counts["skipped"] else 0
