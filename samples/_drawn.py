"""Training, evaluation and detection on images that are drawn on the spot: what such samples share."""

import argparse
import dataclasses
import math
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import _common

from mrcnn_keras import demo
from mrcnn_keras.commands import detect, options
from mrcnn_keras.commands.models import load_model, new_config
from mrcnn_keras.commands.training import add_precision_argument

IMAGES, TRAIN_SEED = 50_000, demo.TRAIN_SEED
VALIDATION_IMAGES, VALIDATION_SEED = 100, 3
TEST_SEED = demo.TEST_SEED
STEPS_PER_EPOCH = 300  # the average precision is computed this often


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A sample on one kind of drawn images.

    Attributes:
        name: of its folder under runs/ and of its pictures.
        dataset: makes a dataset of so many images with a seed.
        preset: the architecture it uses unless told otherwise.
        steps: of its training.
        settings: config fields beside the preset's.
    """

    name: str
    dataset: Callable[[int, int], Any]
    preset: str
    steps: int
    settings: Mapping[str, Any]

    def main(self, description: str, argv: Sequence[str] | None = None) -> int:
        """Run one of the commands; arguments and result as of `_common.main`."""
        commands = {
            "train": ("train from random weights", self.add_train_arguments, self.train),
            "evaluate": ("average precision on images not trained on", self.add_evaluate_arguments, self.evaluate),
            "detect": ("draw what is found in images", self.add_detect_arguments, self.detect),
        }
        return _common.main(description, commands, argv)

    def add_train_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Options of `train`."""
        out = pathlib.Path("runs", self.name)
        parser.add_argument("--out", type=pathlib.Path, default=out, metavar="DIR",
                            help=f"folder for models and curves ({out})")  # fmt: skip
        parser.add_argument("--preset", type=options.preset, default=self.preset, metavar="NAME",
                            help=f"architecture ({self.preset})")  # fmt: skip
        parser.add_argument("--steps", type=options.positive, default=self.steps, metavar="N",
                            help=f"training steps ({self.steps})")  # fmt: skip
        parser.add_argument("--images", type=options.positive, default=IMAGES, metavar="N",
                            help=f"drawn images ({IMAGES})")  # fmt: skip
        parser.add_argument("--validation-images", type=options.positive, default=VALIDATION_IMAGES, metavar="N",
                            help=f"other images to evaluate on ({VALIDATION_IMAGES})")  # fmt: skip
        add_precision_argument(parser)
        parser.add_argument("--resume", action="store_true", help="go on from the newest state in --out")
        options.add_settings(parser)

    def train(self, args: argparse.Namespace) -> int:
        """Train, with the average precision on other images after every epoch."""
        from mrcnn_keras.commands.records import recorders, verbosity
        from mrcnn_keras.commands.training import check_out

        if not args.resume:
            check_out(args.out)
        images = self.dataset(args.images, TRAIN_SEED)
        validation = self.dataset(args.validation_images, VALIDATION_SEED)
        config = new_config(args.preset, {**self.settings, **options.settings(args)}, images)
        _common.import_tensorflow()
        import keras

        from mrcnn_keras import MaskRCNN

        keras.mixed_precision.set_dtype_policy(args.precision)
        model = MaskRCNN(config)
        model.compile(demo.make_optimizer(config, args.steps))
        epochs = math.ceil(args.steps / STEPS_PER_EPOCH)
        model.fit(
            images,
            validation_data=validation,
            epochs=epochs,
            steps_per_epoch=math.ceil(args.steps / epochs),
            callbacks=recorders(args.out, validation, resume=args.resume),
            verbose=verbosity(),
        )
        demo.draw(model, self.dataset(demo.GALLERY, TEST_SEED), args.out / "detections.png")
        print(f"wrote {args.out}: last.keras, best.keras, history.csv, curves.png, detections.png")
        return 0

    def add_evaluate_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Options of `evaluate`."""
        parser.add_argument("--model", type=options.model, required=True, metavar="M", help=options.MODEL_HELP)
        parser.add_argument("--images", type=options.positive, default=500, metavar="N", help="drawn images (500)")
        options.add_detect_options(parser)
        options.add_settings(parser)

    def evaluate(self, args: argparse.Namespace) -> int:
        """Average precision on images that neither training nor validation has seen."""
        from mrcnn_keras.evaluation import evaluate_coco, format_table

        model = load_model(args.model, options.settings(args))
        images, how = self.dataset(args.images, TEST_SEED), options.detect_options(args)
        metrics = evaluate_coco(model, images, verbose=sys.stdout.isatty(), detect_options=how)
        format_table(metrics, title=f"{args.model} on {args.images} unseen images")
        return 0

    def add_detect_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Options of `detect`; without inputs, images are drawn."""
        detect.add_arguments(parser, nargs="*")

    def detect(self, args: argparse.Namespace) -> int:
        """Draw what is found in images, given or, where none are, eight drawn ones."""
        args.inputs = args.inputs or self._draw(args.out / "inputs")
        return detect.run(args)

    def _draw(self, folder: pathlib.Path) -> list[pathlib.Path]:
        from PIL import Image

        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{self.name}{i}.png" for i in range(8)]
        images = self.dataset(len(paths), TEST_SEED)
        for i, path in enumerate(paths):
            Image.fromarray(images.load_image(i)).save(path)
        return paths
