"""`mrcnn-keras train`: train on images with a COCO annotation file."""

import argparse
import math
import pathlib
from typing import Any

from mrcnn_keras.commands import options
from mrcnn_keras.commands.models import new_config
from mrcnn_keras.commands.quiet import import_tensorflow

HELP = "train on images with a COCO annotation file"
# Unless --steps says otherwise: Detectron2's "1x" schedule sees COCO twelve times.
_PASSES, _FEWEST_STEPS = 12, 1000


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
    parser.add_argument("--weights", type=options.weights, metavar="W", help=options.WEIGHTS_HELP)
    parser.add_argument("--resume", action="store_true", help="go on from last.keras in --out")
    options.add_classes(parser)
    parser.add_argument("--skip-broken", action="store_true", help="leave broken images out and list them")
    options.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Train; the models and curves are in `args.out` after each epoch."""
    _check(args)
    from mrcnn_keras.data import CocoDataset

    reading = {"skip_broken": args.skip_broken, "classes": args.classes}
    dataset = CocoDataset(args.images, args.annotations, **reading)
    validation = None
    if args.validation_images:
        validation = CocoDataset(args.validation_images, args.validation_annotations, **reading)
    config = new_config(args.preset, options.settings(args), dataset)
    if config.num_keypoints:
        dataset = _with_keypoints(dataset, args)
    steps = args.steps or max(_FEWEST_STEPS, _PASSES * len(dataset) // config.batch_size)
    import_tensorflow()
    model = _model(args, config, steps)
    print(f"{len(dataset)} images, {len(dataset.class_names)} classes, {steps} steps of {config.batch_size} images")
    fit(model, dataset, validation, args.out, steps, resume=args.resume)
    report = str(dataset.report())
    if any(dataset.report().counts.values()):
        (args.out / "report.txt").write_text(report + "\n")
        print(f"faults in the data: {report.splitlines()[0]}; see {args.out / 'report.txt'}")
    print(f"wrote {args.out / 'last.keras'}" + (f" and {args.out / 'best.keras'}" if validation else ""))
    return 0


def fit(model: Any, dataset: Any, validation: Any, out: pathlib.Path, steps: int, resume: bool = False) -> None:
    """Run `model.fit` up to step `steps`, an epoch for each pass over the images.

    Args:
        model: a compiled `MaskRCNN`.
        dataset, validation: `mrcnn_keras.data.Dataset`; the second may be None.
        out: folder for what `recorders` writes.
        steps: last step, counted from the first run's start.
        resume: the model comes from `last.keras` of `out`.
    """
    import keras

    from mrcnn_keras.commands.records import recorders, verbosity

    class StopAt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations.numpy()) >= steps:
                self.model.stop_training = True

    per_epoch = min(steps, max(1, len(dataset) // model.config.batch_size))
    done = int(model.optimizer.iterations.numpy())
    if done >= steps:
        raise options.UsageError(f"--resume: {out / 'last.keras'} has had its {done} steps; ask for more with --steps")
    model.fit(
        dataset,
        validation_data=validation,
        epochs=math.ceil(steps / per_epoch),
        initial_epoch=min(done // per_epoch, math.ceil(steps / per_epoch) - 1),
        steps_per_epoch=per_epoch,
        callbacks=[*recorders(out, validation, append=resume), StopAt()],
        verbose=verbosity(),
    )


def _with_keypoints(dataset: Any, args: argparse.Namespace) -> Any:
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
    last = args.out / "last.keras"
    if args.resume and args.weights:
        raise options.UsageError("--resume and --weights exclude each other")
    if args.resume and not last.is_file():
        raise options.UsageError(f"--resume: there is no {last}")
    if not args.resume and last.exists():
        raise options.UsageError(f"--out: {last} exists; add --resume to go on with it, or name another folder")


def _model(args: argparse.Namespace, config: Any, steps: int) -> Any:
    from mrcnn_keras.model import MaskRCNN
    from mrcnn_keras.weights.checkpoint_config import same_architecture

    if args.resume:
        model = MaskRCNN.load(args.out / "last.keras")
        # With --weights the checkpoint's conventions, such as its pixel statistics, are in the model's config.
        given = {*options.settings(args), "class_names"}
        changed = any(getattr(model.config, name) != getattr(config, name) for name in given)
        if changed or not same_architecture(model.config, config):
            raise options.UsageError(f"--resume: {args.out / 'last.keras'} was made with other settings")
        return model
    from_data = ["num_classes", "class_names"]
    if config.num_keypoints:
        from_data += ["num_keypoints", "keypoint_names", "keypoint_skeleton", "keypoint_sigmas"]
    fields = {**options.settings(args), **{name: getattr(config, name) for name in from_data}}
    model = MaskRCNN.from_preset(args.preset, weights=args.weights, **fields)
    model.compile(total_steps=steps)
    return model
