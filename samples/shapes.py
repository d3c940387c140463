"""Shapes: circles, squares and triangles drawn on the spot, no files needed.

python samples/shapes.py train    --out runs/shapes
python samples/shapes.py evaluate --model runs/shapes/last.keras
python samples/shapes.py detect   --model runs/shapes/last.keras --out runs/shapes/found
"""

import argparse
import math
import pathlib
import sys

import _common

from mrcnn_keras import demo
from mrcnn_keras.commands import options
from mrcnn_keras.commands.detect import add_output_arguments, detect_files
from mrcnn_keras.commands.models import load_model, new_config

# Three times the demo's training, on its settings.
STEPS = 3 * demo.STEPS
IMAGES, TRAIN_SEED = 50_000, demo.TRAIN_SEED
VALIDATION_IMAGES, VALIDATION_SEED = 100, 3
TEST_SEED = demo.TEST_SEED
STEPS_PER_EPOCH = 300  # the average precision is computed this often


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/shapes"), metavar="DIR",
                        help="folder for models and curves (runs/shapes)")  # fmt: skip
    parser.add_argument(
        "--preset", type=options.preset, default=demo.PRESET, metavar="NAME", help=f"architecture ({demo.PRESET})"
    )
    parser.add_argument("--steps", type=options.positive, default=STEPS, metavar="N", help=f"training steps ({STEPS})")
    parser.add_argument("--images", type=options.positive, default=IMAGES, metavar="N", help=f"drawn images ({IMAGES})")
    parser.add_argument("--validation-images", type=options.positive, default=VALIDATION_IMAGES, metavar="N",
                        help=f"other images to evaluate on ({VALIDATION_IMAGES})")  # fmt: skip
    options.add_settings(parser)


def train(args: argparse.Namespace) -> int:
    from mrcnn_keras.commands.records import recorders, verbosity
    from mrcnn_keras.data import ShapesDataset

    images = ShapesDataset(args.images, TRAIN_SEED)
    validation = ShapesDataset(args.validation_images, VALIDATION_SEED)
    config = new_config(args.preset, {**demo.SETTINGS, **options.settings(args)}, images)
    _common.import_tensorflow()
    from mrcnn_keras import MaskRCNN

    model = MaskRCNN(config)
    model.compile(demo.make_optimizer(config, args.steps))
    epochs = math.ceil(args.steps / STEPS_PER_EPOCH)
    model.fit(
        images,
        validation_data=validation,
        epochs=epochs,
        steps_per_epoch=math.ceil(args.steps / epochs),
        callbacks=recorders(args.out, validation),
        verbose=verbosity(),
    )
    print(f"wrote {args.out}: last.keras, best.keras, history.csv, curves.png")
    return 0


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=options.model, required=True, metavar="M", help=options.MODEL_HELP)
    parser.add_argument("--images", type=options.positive, default=500, metavar="N", help="drawn images (500)")
    options.add_settings(parser)


def evaluate(args: argparse.Namespace) -> int:
    from mrcnn_keras.data import ShapesDataset
    from mrcnn_keras.evaluation import evaluate_coco, format_table

    model = load_model(args.model, options.settings(args))
    metrics = evaluate_coco(model, ShapesDataset(args.images, TEST_SEED), verbose=sys.stdout.isatty())
    format_table(metrics, title=f"{args.model} on {args.images} unseen images")
    return 0


def add_detect_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="*", type=options.file, metavar="IMAGE", help="default: 8 drawn images")
    add_output_arguments(parser)
    options.add_settings(parser)


def detect(args: argparse.Namespace) -> int:
    model = load_model(args.model, options.settings(args))
    files = args.inputs or _draw(args.out / "inputs")
    return detect_files(model, {path: args.out / f"{path.stem}.png" for path in files}, args.out, args.min_score)


def _draw(folder: pathlib.Path) -> list[pathlib.Path]:
    from PIL import Image

    from mrcnn_keras.data import ShapesDataset

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"shapes{i}.png" for i in range(8)]
    images = ShapesDataset(len(paths), TEST_SEED)
    for i, path in enumerate(paths):
        Image.fromarray(images.load_image(i)).save(path)
    return paths


COMMANDS = {
    "train": ("train from random weights", add_train_arguments, train),
    "evaluate": ("average precision on images that were not trained on", add_evaluate_arguments, evaluate),
    "detect": ("draw what is found in images", add_detect_arguments, detect),
}

if __name__ == "__main__":
    sys.exit(_common.main(__doc__, COMMANDS))
