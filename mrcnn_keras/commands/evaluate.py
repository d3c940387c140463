"""`mrcnn-keras evaluate`: COCO's average precision of a model."""

import argparse
import json
import pathlib
import sys
from typing import Any

from mrcnn_keras.commands import options
from mrcnn_keras.commands.models import load_model

HELP = "average precision of a model on images with a COCO annotation file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("--model", type=options.model, required=True, metavar="M", help=options.MODEL_HELP)
    parser.add_argument("--images", type=options.folder, required=True, metavar="DIR", help="folder of the images")
    parser.add_argument(
        "--annotations", type=options.file, required=True, metavar="FILE", help="COCO annotations (.json)"
    )
    options.add_detection(parser)
    parser.add_argument("--max-images", type=options.positive, metavar="N", help="the first N images only")
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help="write the metrics as JSON, too")
    parser.add_argument("--per-class", action="store_true", help="print the average precision of each class, too")
    parser.add_argument("--results", type=pathlib.Path, metavar="DIR",
                        help="write the detections as COCO's evaluation server takes them")  # fmt: skip
    options.add_detect_options(parser)
    parser.add_argument("--proposals", type=options.file, metavar="FILE",
                        help="look where 'proposals' has found something in these images")  # fmt: skip
    options.add_classes(parser)
    parser.add_argument("--skip-broken", action="store_true", help="leave broken images out, list them, exit with 1")
    options.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print a table; 1 if images were left out."""
    from mrcnn_keras.data import CocoDataset
    from mrcnn_keras.evaluation import evaluate_coco, format_class_table, format_table
    from mrcnn_keras.inference.merging import class_thresholds

    dataset = CocoDataset(args.images, args.annotations, skip_broken=args.skip_broken, classes=args.classes)
    model = load_model(args.model, options.settings(args), args.replicas)
    how, given = options.detect_options(args), {"proposals": args.proposals} if args.proposals else {}
    try:
        class_thresholds(how.get("score_threshold"), model.config)
    except ValueError as error:
        raise options.UsageError(f"--class-score: {error}") from error
    metrics = evaluate_coco(
        model,
        dataset,
        batch_size=args.batch_size,
        max_images=args.max_images,
        verbose=sys.stdout.isatty(),
        per_class=args.per_class,
        results_folder=args.results,
        detect_options={**how, **given},
    )
    format_table(metrics, title=f"{args.model} on {min(len(dataset), args.max_images or len(dataset))} images")
    if args.per_class:
        format_class_table(metrics)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(_without_nan(metrics), indent=2) + "\n")
    skipped = dataset.report().skipped
    for line in skipped:
        print(f"left out: {line}", file=sys.stderr)
    return 1 if skipped else 0


def _without_nan(value: Any) -> Any:
    """Metrics with None, which is null in JSON, for what could not be computed."""
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    return None if value != value else value
