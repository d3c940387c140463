"""Pedestrians: the Penn-Fudan photos, from random weights on a CPU.

The folder holds PNGImages/ and PedMasks/ (https://www.cis.upenn.edu/~jshi/ped_html/). The commands in turn:

python samples/pennfudan.py train    --dataset PennFudanPed --out runs/pennfudan
python samples/pennfudan.py evaluate --dataset PennFudanPed --model runs/pennfudan/best.keras
python samples/pennfudan.py detect   PHOTO... --model runs/pennfudan/best.keras --out found
"""

import argparse
import math
import pathlib
import sys

import _common

from mrcnn_keras.commands import options
from mrcnn_keras.commands.detect import add_arguments as add_detect_arguments
from mrcnn_keras.commands.detect import run as detect
from mrcnn_keras.commands.models import load_model, new_config

PRESET = "mask_rcnn_narrow_fpn"
STEPS, MINUTES = 1000, 90
STEPS_PER_EPOCH = 200  # the average precision is computed this often
SPLIT_SEED = 0
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.05  # of AdamW, which learns faster than SGD from random weights
SETTINGS = {
    "image_min_side": 256,
    "image_max_side": 416,
    "train_min_sides": (192, 224, 256, 288),
    "anchor_sizes": (24, 48, 80, 128, 192),
    "anchor_ratios": (1.0, 2.0, 3.0),
    "roi_canonical_size": 128.0,
    "batch_size": 4,
    "warmup_steps": 200,
    "learning_rate_drops": (0.75, 0.92),
    "gradient_clip_norm": 5.0,
}
# The clock also runs while pictures are drawn and files are written after the last step.
_RESERVE = 0.97


def add_dataset_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", type=options.folder, required=True, metavar="DIR",
                        help="folder with PNGImages and PedMasks")  # fmt: skip


def split(folder: pathlib.Path):
    """Five photos of six to train on and the rest to validate on (100 and 20 of 120); always the same."""
    from mrcnn_keras.data import MaskFolderDataset

    photos = MaskFolderDataset(folder / "PNGImages", folder / "PedMasks", class_name="pedestrian")
    return photos.split(len(photos) - max(1, len(photos) // 6), seed=SPLIT_SEED)


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    add_dataset_arguments(parser)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/pennfudan"), metavar="DIR",
                        help="folder for models, curves and pictures (runs/pennfudan)")  # fmt: skip
    parser.add_argument(
        "--preset", type=options.preset, default=PRESET, metavar="NAME", help=f"architecture ({PRESET})"
    )
    parser.add_argument("--steps", type=options.positive, default=STEPS, metavar="N", help=f"training steps ({STEPS})")
    parser.add_argument("--minutes", type=options.minutes, default=MINUTES, metavar="T",
                        help=f"end sooner, after this time ({MINUTES})")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on from the newest state in --out")
    options.add_settings(parser)


def train(args: argparse.Namespace) -> int:
    from mrcnn_keras.commands.records import recorders, verbosity
    from mrcnn_keras.commands.training import check_out

    if not args.resume:
        check_out(args.out)
    photos, validation = split(args.dataset)
    config = new_config(args.preset, {**SETTINGS, **options.settings(args)}, photos)
    _common.import_tensorflow()
    import keras

    from mrcnn_keras import MaskRCNN

    schedule = _common.limited_schedule(
        args.steps, _RESERVE * args.minutes, LEARNING_RATE, config.warmup_steps, config.learning_rate_drops
    )
    model = MaskRCNN(config)
    clip = config.gradient_clip_norm or None
    model.compile(keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY, global_clipnorm=clip))
    print(f"{len(photos)} photos to train on, {len(validation)} to validate on")
    per_epoch = min(STEPS_PER_EPOCH, args.steps)
    history = model.fit(
        photos,
        validation_data=validation,
        epochs=math.ceil(args.steps / per_epoch),
        steps_per_epoch=per_epoch,
        callbacks=[schedule, *recorders(args.out, validation, resume=args.resume)],
        verbose=verbosity(),
    )
    report(history.history)
    draw(MaskRCNN.load(args.out / "best.keras"), validation, args.out / "detections.png")
    print(f"wrote {args.out}: best.keras, last.keras, history.csv, curves.png, detections.png")
    return 0


def report(history: dict[str, list[float]]) -> None:
    """Print the validation AP50 of the last and of the best epoch, the best by mask AP."""
    ap = history["val_segm_AP"]
    best = max(range(len(ap)), key=lambda epoch: ap[epoch])
    for name, epoch in {"last": len(ap) - 1, "best": best}.items():
        box, mask = (100 * history[f"val_{kind}_AP50"][epoch] for kind in ("bbox", "segm"))
        print(f"{name} epoch ({epoch + 1} of {len(ap)}): box AP50 {box:.1f}, mask AP50 {mask:.1f}")


def draw(model, dataset, path: pathlib.Path, count: int = 8) -> None:
    """A picture of the detections on the first photos of a dataset."""
    from mrcnn_keras.visualize import draw_grid

    images = [dataset.load_image(i) for i in range(min(count, len(dataset)))]
    draw_grid(images, model.detect(images), path, score_threshold=0.5)


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    add_dataset_arguments(parser)
    parser.add_argument("--model", type=options.model, required=True, metavar="M", help=options.MODEL_HELP)
    parser.add_argument("--all", action="store_true", help="all photos of the folder, not only those for validation")
    options.add_detect_options(parser)
    options.add_settings(parser)


def evaluate(args: argparse.Namespace) -> int:
    from mrcnn_keras.evaluation import evaluate_coco, format_table

    photos, validation = split(args.dataset)
    dataset = photos.parent if args.all else validation
    model = load_model(args.model, options.settings(args))
    how = options.detect_options(args)
    metrics = evaluate_coco(model, dataset, verbose=sys.stdout.isatty(), detect_options=how)
    format_table(metrics, title=f"{args.model} on {len(dataset)} photos")
    return 0


COMMANDS = {
    "train": ("train from random weights", add_train_arguments, train),
    "evaluate": ("average precision on the validation photos", add_evaluate_arguments, evaluate),
    "detect": ("draw what is found in photos", add_detect_arguments, detect),
}


def main(argv=None) -> int:
    return _common.main(__doc__, COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
