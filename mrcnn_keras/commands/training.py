"""What the trainings of the command line share: their options, devices, model and run."""

import argparse
import contextlib
import importlib.util
import math
import pathlib
import sys
from typing import Any

from mrcnn_keras.commands import options
from mrcnn_keras.commands.models import new_config
from mrcnn_keras.commands.quiet import import_tensorflow
from mrcnn_keras.data.cpus import usable_cpus

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
_SAVE_EVERY = 1000
# What may change when a training goes on.
_LENGTH = {"total_steps", "batch_size"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options of every training but those of its data and its length."""
    parser.add_argument("--weights", type=options.weights, metavar="W", help=options.WEIGHTS_HELP)
    parser.add_argument("--resume", action="store_true", help="go on from the newest state in --out, if there is one")
    parser.add_argument("--replicas", type=options.positive, metavar="N",
                        help="devices to train on (all GPUs); CPUs where there are none")  # fmt: skip
    parser.add_argument("--workers", nargs="+", metavar="HOST:PORT",
                        help="processes to train with, the chief's first; each runs this command")  # fmt: skip
    parser.add_argument("--worker-index", type=int, metavar="N",
                        help="which of --workers this is, from 0 (found by the machine's name)")  # fmt: skip
    add_precision_argument(parser)
    parser.add_argument("--xla", action="store_true",
                        help="compile the step with XLA, images padded to fixed sizes; on one device")  # fmt: skip
    parser.add_argument("--logs", type=pathlib.Path, metavar="DIR", help="write TensorBoard's events there")
    options.add_settings(parser)


def add_precision_argument(parser: argparse.ArgumentParser) -> None:
    """Describe `--precision`, one of Keras' dtype policies."""
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="of the network (float32)")


def check(args: argparse.Namespace) -> None:
    """What is wrong with the options, found before anything slow begins.

    Raises:
        UsageError: the folder has a training's states and `--resume` is not given, or options exclude each other.
    """
    if not args.resume:
        check_out(args.out)
    if args.worker_index is not None and not args.workers:
        raise options.UsageError("--worker-index says which of --workers this process is: name them all")
    if args.replicas and args.workers:
        raise options.UsageError("--replicas and --workers exclude each other: every worker uses all its GPUs")
    if args.xla and (args.workers or (args.replicas or 1) > 1):
        raise options.UsageError("--xla is for one device: leave out --workers, and --replicas or set it to 1")
    if args.logs is not None and importlib.util.find_spec("tensorboard") is None:
        raise options.UsageError("--logs: TensorBoard is not installed: pip install tensorboard")


def check_out(out: pathlib.Path) -> None:
    """Whether a new training may write into a folder.

    Raises:
        UsageError: it has the states of another.
    """
    from mrcnn_keras.training.checkpoint_files import checkpoint_paths, stage_folders

    paths = [path for folder in stage_folders(out) for path in checkpoint_paths(folder)]
    if paths:
        raise options.UsageError(f"--out: {paths[-1]} exists; add --resume to go on with it, or name another folder")


def make_strategy(args: argparse.Namespace) -> Any:
    """TensorFlow's strategy for the devices asked for, and the precision set; comes before all else of TensorFlow.

    Raises:
        UsageError: there are no such devices or workers.
    """
    import_tensorflow()
    import keras

    from mrcnn_keras.training import make_strategy

    try:
        strategy = make_strategy(args.replicas, args.workers, args.worker_index)
    except ValueError as error:
        raise options.UsageError(str(error)) from error
    keras.mixed_precision.set_dtype_policy(args.precision)
    return strategy


def make_model(args: argparse.Namespace, dataset: Any, fields: dict[str, Any], strategy: Any) -> Any:
    """The compiled model of `args.preset` for a dataset, its weights those asked for; `fit` may bring others.

    Args:
        args: with `preset` and what `add_arguments` describes.
        dataset: to train on.
        fields: of the config, besides those of `--set`.
        strategy: of `make_strategy`.

    Raises:
        UsageError: a field out of its range, or the training to go on with has other settings or has had its steps.
    """
    settings = {**fields, **options.settings(args)}
    config = new_config(args.preset, settings, dataset)
    from mrcnn_keras.model import MaskRCNN

    state = _newest_state(args.out)
    with strategy.scope() if strategy.num_replicas_in_sync > 1 else contextlib.nullcontext():
        if state is not None:
            model = MaskRCNN(_config_to_go_on_with(state, config, {*settings, "class_names"}, args.out))
        else:
            points = "num_keypoints", "keypoint_names", "keypoint_skeleton", "keypoint_flip", "keypoint_sigmas"
            from_data = "num_classes", "class_names", *(points if config.num_keypoints else ())
            settings |= {name: getattr(config, name) for name in from_data}
            model = MaskRCNN.from_preset(args.preset, weights=args.weights, **settings)
        try:
            model.compile(total_steps=config.total_steps, jit_compile=args.xla)
        except ValueError as error:  # devices, or an operator, that XLA does not take
            raise options.UsageError(str(error)) from error
    return model


def _newest_state(out: pathlib.Path) -> tuple[pathlib.Path, dict[str, Any], dict[str, Any]] | None:
    """The path, values and config of the state to go on from, of the latest stage that has any, if there is one."""
    from mrcnn_keras.training.checkpoint_files import stage_folders
    from mrcnn_keras.training.restoring import newest_checkpoint

    try:
        found = map(newest_checkpoint, reversed(stage_folders(out)))
        return next((state for state in found if state is not None), None)
    except ValueError as error:
        raise options.UsageError(f"--resume: {error}") from error


def _config_to_go_on_with(
    state: tuple[pathlib.Path, dict, dict], config: Any, given: set[str], out: pathlib.Path
) -> Any:
    """The config of a state, which with --weights has the checkpoint's conventions, and the length now wanted."""
    from mrcnn_keras.config import make_config
    from mrcnn_keras.weights.checkpoint_config import architecture_differences

    path, values, fields = state
    found = make_config(fields)
    changed = {name for name in given - _LENGTH if getattr(found, name) != getattr(config, name)}
    changed |= set(architecture_differences(found, config))
    if changed:
        raise options.UsageError(f"--resume: {path} was made with other settings ({', '.join(sorted(changed))})")
    done = values["step"]
    if done >= config.total_steps and path.parent == out:  # of the last stage
        raise options.UsageError(f"--resume: {path} has had its {done} steps; ask for more with --steps")
    return found.replace(**{name: getattr(config, name) for name in _LENGTH})


def fit(
    args: argparse.Namespace, model: Any, dataset: Any, validation: Any, evaluation: Any = None, **kwargs: Any
) -> None:
    """Run `model.fit` up to step `config.total_steps`, an epoch for each pass over the images.

    Args:
        args: with `out` and what `add_arguments` describes.
        model: of `make_model`.
        dataset, validation: `mrcnn_keras.data.Dataset`; the second may be None.
        evaluation: callback that adds the average precision on `validation` to an epoch's logs; None: COCO's.
        **kwargs: further arguments of `model.fit`.
    """
    import keras

    from mrcnn_keras.commands.records import recorders, verbosity
    from mrcnn_keras.training import is_chief

    steps, given = model.config.total_steps, kwargs.get("validation_proposals")
    if given and evaluation is None and model.config.training_stages != "alternating":  # whose RPN learns later
        from mrcnn_keras.evaluation import CocoEvaluation

        evaluation = CocoEvaluation(validation, verbose=sys.stdout.isatty(), proposals=given)

    class StopAt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations.numpy()) >= steps:
                self.model.stop_training = True

    per_epoch = min(steps, max(1, len(dataset) // model.config.batch_size))
    chief = is_chief(model.distribute_strategy)
    logs = [_tensorboard(args, validation)] if args.logs and chief else []
    saving = {"save_every": min(per_epoch, _SAVE_EVERY), "resume": args.resume, "writes": chief}
    model.fit(
        dataset,
        validation_data=validation,
        epochs=math.ceil(steps / per_epoch),
        steps_per_epoch=per_epoch,
        callbacks=[StopAt(), *recorders(args.out, validation, evaluation=evaluation, others=logs, **saving)],
        verbose=verbosity() if chief else 0,
        workers=max(2, usable_cpus()),
        **kwargs,
    )


def write_report(out: pathlib.Path, dataset: Any, strategy: Any) -> None:
    """Write what was broken in the data, as far as this process has seen it, into the folder, if anything was."""
    from mrcnn_keras.training import is_chief

    report = dataset.report()
    if not any(report.counts.values()):
        return
    own = "" if is_chief(strategy) else f"-worker{strategy.cluster_resolver.task_id}"
    path = out / f"report{own}.txt"
    path.write_text(f"{report}\n")
    print(f"faults in the data: {str(report).splitlines()[0]}; see {path}")


def _tensorboard(args: argparse.Namespace, validation: Any) -> Any:
    from mrcnn_keras.visualize.tensorboard import TensorBoardLog

    return TensorBoardLog(args.logs, validation)
