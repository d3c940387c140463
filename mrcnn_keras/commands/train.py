"""`mrcnn-keras train`: train on images with a COCO annotation file."""

import argparse
import pathlib
from typing import Any

from mrcnn_keras.commands import options, training
from mrcnn_keras.commands.models import new_config

HELP = "train on images with a COCO annotation file"
# Unless --steps says otherwise: Detectron2's "1x" schedule sees COCO twelve times.
_PASSES, _FEWEST_STEPS = 12, 1000
_IMAGES_PER_REPLICA = 2
# Of a batch; the reference of data distillation has six labelled images to four others.
_DISTILLED = 0.4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("--images", type=options.folder, required=True, metavar="DIR", help="folder of the images")
    parser.add_argument(
        "--annotations", type=options.file, required=True, metavar="FILE", help="COCO annotations (.json)"
    )
    parser.add_argument("--preset", type=options.preset, required=True, metavar="NAME", help="see 'presets'")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR", help="folder for models and curves")
    parser.add_argument(
        "--steps",
        type=options.positive,
        metavar="N",
        help=f"training steps of batch_size images (default: {_PASSES} passes, at least {_FEWEST_STEPS} steps)",
    )
    parser.add_argument("--validation-images", type=options.folder, metavar="DIR", help="images to evaluate on")
    parser.add_argument("--validation-annotations", type=options.file, metavar="FILE", help="their annotations")
    parser.add_argument("--distilled-images", type=options.folder, metavar="DIR",
                        help="images that a model has labelled, to train on, too")  # fmt: skip
    parser.add_argument("--distilled-annotations", type=options.file, metavar="FILE", help="what 'distill' has written")
    parser.add_argument("--distilled-ratio", type=share, metavar="R",
                        help=f"their share of every batch, between 0 and 1 ({_DISTILLED})")  # fmt: skip
    parser.add_argument("--proposals", type=options.file, metavar="FILE",
                        help="what 'proposals' has written for these images: train the heads on it")  # fmt: skip
    parser.add_argument("--validation-proposals", type=options.file, metavar="FILE", help="of the validation images")
    options.add_classes(parser)
    parser.add_argument("--skip-broken", action="store_true", help="leave broken images out and list them")
    training.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Train; the models and curves are in `args.out` after each epoch."""
    _check(args)
    from mrcnn_keras.data import CocoDataset

    reading = {"skip_broken": args.skip_broken, "classes": args.classes}
    dataset = CocoDataset(args.images, args.annotations, **reading)
    if args.distilled_images:
        dataset = _with_distilled(dataset, args)
    validation = None
    if args.validation_images:
        validation = CocoDataset(args.validation_images, args.validation_annotations, **reading)
    config = new_config(args.preset, options.settings(args), dataset)
    if config.num_keypoints:
        dataset = with_keypoints(dataset, args)
    strategy = training.make_strategy(args)
    batch_size = config.batch_size
    if strategy.num_replicas_in_sync > 1 and "batch_size" not in options.settings(args):
        batch_size = _IMAGES_PER_REPLICA * strategy.num_replicas_in_sync
    steps = args.steps or max(_FEWEST_STEPS, _PASSES * len(dataset) // batch_size)
    told = f"{len(dataset)} images, {len(dataset.class_names)} classes, {steps} steps of {batch_size} images"
    if args.distilled_images:
        told += f", {_shares(dataset, batch_size)[1]} of them distilled"
    model = training.make_model(args, dataset, {"batch_size": batch_size, "total_steps": steps}, strategy)
    print(told)
    files = {"proposals": args.proposals, "validation_proposals": args.validation_proposals}
    training.fit(args, model, dataset, validation, **files)
    training.write_report(args.out, dataset, strategy)
    print(f"wrote {args.out / 'last.keras'}" + (f" and {args.out / 'best.keras'}" if validation else ""))
    return 0


def _shares(dataset: Any, batch_size: int) -> list[int]:
    try:
        return dataset.shares(batch_size)
    except ValueError as error:
        raise options.UsageError(f"--distilled-images: {error}") from error


def share(text: str) -> float:
    """A number between 0 and 1, neither of them, for `type=`."""
    value = options.above_zero(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number below 1")
    return value


def _with_distilled(dataset: Any, args: argparse.Namespace) -> Any:
    """The labelled images with those that a model has labelled."""
    from mrcnn_keras.data import CocoDataset, MixedDataset

    reading = {"skip_broken": args.skip_broken, "classes": args.classes}
    others = CocoDataset(args.distilled_images, args.distilled_annotations, **reading)
    part = args.distilled_ratio or _DISTILLED
    try:
        return MixedDataset([dataset, others], (1 - part, part))
    except ValueError as error:
        raise options.UsageError(f"--distilled-annotations: {error}") from error


def with_keypoints(dataset: Any, args: argparse.Namespace) -> Any:
    """The images that a model with keypoints is trained on, as Detectron2 chooses them."""
    if dataset.keypoints is None:
        raise options.UsageError(f"--annotations: no keypoints in {args.annotations}, and {args.preset} learns them")
    try:
        kept = dataset.with_keypoints()
    except ValueError as error:
        raise options.UsageError(f"--annotations: {error}") from error
    if len(kept) < len(dataset):
        print(f"{len(dataset) - len(kept)} of {len(dataset)} images have no labelled keypoint and are left out")
    return kept


def _check(args: argparse.Namespace) -> None:
    if (args.validation_images is None) != (args.validation_annotations is None):
        raise options.UsageError("--validation-images and --validation-annotations go together")
    if (args.distilled_images is None) != (args.distilled_annotations is None):
        raise options.UsageError("--distilled-images and --distilled-annotations go together")
    if args.distilled_ratio is not None and args.distilled_images is None:
        raise options.UsageError("--distilled-ratio goes with --distilled-images")
    if args.validation_proposals and not (args.proposals and args.validation_images):
        raise options.UsageError("--validation-proposals goes with --proposals and --validation-images")
    if args.proposals and args.validation_images and not args.validation_proposals:
        raise options.UsageError("--proposals needs --validation-proposals with --validation-images")
    training.check(args)
