"""What the samples for COCO and Cityscapes share: train by a named schedule, evaluate, detect, submit."""

import abc
import argparse
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import _common

from mrcnn_keras.commands import options, training
from mrcnn_keras.commands.detect import add_arguments as add_detect_arguments
from mrcnn_keras.commands.detect import run as detect
from mrcnn_keras.commands.models import load_model
from mrcnn_keras.training.named_schedules import SCHEDULES

_TRAINING_SIDES = "train_min_sides", "min_side_sampling"


class Benchmark(abc.ABC):
    """A public benchmark.

    Attributes:
        name: of its folder under runs/.
        preset, schedule: the defaults.
        files: what --dataset is.
        splits: folders to train on, to evaluate on and to send in results of.
    """

    name: str
    preset: str
    schedule: str
    files: str
    splits: tuple[str, str, str]

    @abc.abstractmethod
    def load(self, args: argparse.Namespace, split: str, keypoints: bool = False) -> Any:
        """The images of a split with their annotations, as far as there are any."""

    @abc.abstractmethod
    def evaluate(self, model: Any, dataset: Any, args: argparse.Namespace) -> None:
        """Print the benchmark's metrics."""

    @abc.abstractmethod
    def submit(self, model: Any, dataset: Any, args: argparse.Namespace) -> None:
        """Write results into `args.out` as the benchmark's server takes them."""

    def evaluation(self, dataset: Any) -> Any:
        """The callback that adds the benchmark's metrics to an epoch's logs; None: COCO's."""
        return None

    def main(self, description: str, argv: Sequence[str] | None = None) -> int:
        """Run one of the commands; arguments and result as of `_common.main`."""
        commands = {
            "train": ("train by a schedule of the paper or of Detectron2", self._add_train_arguments, self._train),
            "evaluate": ("the benchmark's metrics of a model", self._add_evaluate_arguments, self._evaluate),
            "detect": ("draw what is found in photos", add_detect_arguments, detect),
            "submit": ("write results as the benchmark's server takes them", self._add_submit_arguments, self._submit),
        }
        return _common.main(description, commands, argv)

    def _add_dataset(self, parser: argparse.ArgumentParser, split: int) -> None:
        parser.add_argument("--dataset", type=options.folder, required=True, metavar="DIR", help=self.files)
        parser.add_argument("--split", default=self.splits[split], metavar="NAME", help=f"({self.splits[split]})")

    def _add_train_arguments(self, parser: argparse.ArgumentParser) -> None:
        self._add_dataset(parser, 0)
        parser.add_argument("--validation-split", default=self.splits[1], metavar="NAME", help=f"({self.splits[1]})")
        parser.add_argument("--preset", type=options.preset, default=self.preset, metavar="NAME",
                            help=f"architecture ({self.preset})")  # fmt: skip
        parser.add_argument("--schedule", choices=SCHEDULES, default=self.schedule, metavar="NAME",
                            help=f"{', '.join(SCHEDULES)} ({self.schedule})")  # fmt: skip
        parser.add_argument("--steps", type=options.positive, metavar="N",
                            help="training steps (the schedule's, for as many images with other batches)")  # fmt: skip
        parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs", self.name), metavar="DIR",
                            help=f"folder for states, models and curves (runs/{self.name})")  # fmt: skip
        training.add_arguments(parser)

    def _train(self, args: argparse.Namespace) -> int:
        from mrcnn_keras.presets import PRESETS

        training.check(args)
        keypoints = {**PRESETS[args.preset].fields, **options.settings(args)}.get("num_keypoints", 0) > 0
        images, validation = (self.load(args, split, keypoints) for split in (args.split, args.validation_split))
        if keypoints:
            images = images.with_keypoints()
        strategy = training.make_strategy(args)
        schedule = SCHEDULES[args.schedule]
        devices = strategy.num_replicas_in_sync
        batch_size = options.settings(args).get("batch_size", schedule.images_per_replica * devices)
        fields = schedule.config_fields(batch_size)
        if args.steps:
            fields["total_steps"] = args.steps
        if {"train_min_sides", "image_min_side"} & set(options.settings(args)):  # in place of the schedule's
            fields = {name: value for name, value in fields.items() if name not in _TRAINING_SIDES}
        model = training.make_model(args, images, fields, strategy)
        print(f"{len(images)} images to train on, {len(validation)} to validate on; schedule {args.schedule}: "
              f"{model.config.total_steps} steps of {batch_size} images on {devices} devices")  # fmt: skip
        training.fit(args, model, images, validation, self.evaluation(validation))
        print(f"wrote {args.out}: last.keras, best.keras, history.csv, curves.png")
        return 0

    def _add_model(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--model", type=options.model, required=True, metavar="M", help=options.MODEL_HELP)
        options.add_detection(parser)
        options.add_detect_options(parser)
        options.add_settings(parser)

    def _add_evaluate_arguments(self, parser: argparse.ArgumentParser) -> None:
        self._add_dataset(parser, 1)
        self._add_model(parser)

    def _evaluate(self, args: argparse.Namespace) -> int:
        model = load_model(args.model, options.settings(args), args.replicas)
        self.evaluate(model, self.load(args, args.split, bool(model.config.num_keypoints)), args)
        return 0

    def _add_submit_arguments(self, parser: argparse.ArgumentParser) -> None:
        self._add_dataset(parser, 2)
        parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR", help="new folder for the results")
        self._add_model(parser)

    def _submit(self, args: argparse.Namespace) -> int:
        model = load_model(args.model, options.settings(args), args.replicas)
        dataset = self.load(args, args.split, bool(model.config.num_keypoints))
        self.submit(model, dataset, args)
        return 0


def verbose() -> bool:
    """Whether a progress bar is wanted."""
    return sys.stdout.isatty()
