"""From the files of a training's states back to the newest one that is whole."""

import pathlib
import warnings
from collections.abc import Mapping
from typing import Any

import keras

from . import checkpoint_files as files


def newest_checkpoint(folder: pathlib.Path) -> tuple[pathlib.Path, dict[str, Any], dict[str, Any]] | None:
    """The newest state of a folder whose every byte is there, with its values and its model's config.

    Raises:
        ValueError: there are states, and none of them is whole.
    """
    paths = files.checkpoint_paths(folder)
    for path in reversed(paths):
        try:
            return path, *files.read_checkpoint(path)
        except ValueError as error:
            warnings.warn(f"{error}; taking the one before it", stacklevel=2)
    if paths:
        raise ValueError(f"none of the {len(paths)} checkpoints in {folder} is whole; remove them")
    return None


def load_checkpoint(
    model: keras.Model,
    path: pathlib.Path,
    config: Mapping[str, Any],
    facts: Mapping[str, Any],
    own_facts: Mapping[str, Any],
) -> None:
    """Give a compiled model the weights and the optimizer's state of a checkpoint.

    Args:
        model: with a built optimizer.
        path: of the checkpoint.
        config: of the checkpoint's model.
        facts: "optimizer", its class, and what else the training depends on, by name.
        own_facts: the same of the training that goes on; what differs, but for the optimizer, is warned of. Another
            "learning rate" takes the place of the checkpoint's.

    Raises:
        ValueError: it is of another model or optimizer.
    """
    if facts["optimizer"] != own_facts["optimizer"]:
        raise ValueError(f"{path} was written with the optimizer {facts['optimizer']}, and the model is compiled "
                         f"with {own_facts['optimizer']}")  # fmt: skip
    own = model.get_config()["config"]
    kinds = [(one.get("training_stages", "end_to_end"), said.get("stage", "end_to_end"))
             for one, said in ((config, facts), (own, own_facts))]  # fmt: skip
    if kinds[0] != kinds[1]:  # their weights have other places, and their optimizers are for other weights
        (training, stage), (own_training, own_stage) = kinds
        raise ValueError(f"{path} is of stage {stage!r} of a training with training_stages={training!r}, and this is "
                         f"{own_stage!r} of {own_training!r}; use its settings, or another folder")  # fmt: skip
    others = [f"{name}={_listed(config[name])} (now {_listed(value)})" for name, value in own.items()
              if name in config and _listed(config[name]) != _listed(value)]  # fmt: skip
    others += [f"{name}: {value} (now {own_facts[name]})" for name, value in facts.items()
               if own_facts.get(name, value) != value]  # fmt: skip
    try:
        model.load_weights(path)
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{path} is of another model: {', '.join(others) or error}; use its settings, or another folder"
        ) from None
    if own_facts.get("learning rate") != facts.get("learning rate") and "learning rate" in own_facts:
        model.optimizer.learning_rate = own_facts["learning rate"]
    if others:
        warnings.warn(f"going on with other settings than those of {path}: {', '.join(others)}", stacklevel=2)


def _listed(value: Any) -> Any:
    """A config's value as JSON has it."""
    return [_listed(one) for one in value] if isinstance(value, (list, tuple)) else value
