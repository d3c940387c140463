"""Models from checkpoints: config, weights, and a report of what went where."""

import collections
import dataclasses
import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from mrcnn_keras.config import BACKBONES, MaskRCNNConfig, make_config
from mrcnn_keras.presets import PRESETS, find_preset
from mrcnn_keras.weights.checkpoint_config import architecture_differences, config_of, known_class_names, settings_for
from mrcnn_keras.weights.readers.checkpoint import CheckpointError, read_checkpoint
from mrcnn_keras.weights.systems.interpret import Interpreted, interpret
from mrcnn_keras.weights.transfer import BY_NAME, ClassMap, class_axes, match_classes
from mrcnn_keras.weights.zoo import lookup
from mrcnn_keras.weights.zoo.download import fetch

# Variables that count, not learn.
COUNTERS = ("draws",)
ABSENT = "not in the checkpoint"
ENDINGS = (".pkl", ".pth", ".pt", ".h5", ".safetensors", ".keras")


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What became of a checkpoint's tensors and a model's variables.

    Attributes:
        source: the file.
        system: that wrote it.
        copied: paths of the variables that took a tensor whole.
        classes: (class of the model, class of the checkpoint) whose rows were copied, where a class map was given.
        fresh_classes: those of the model that the class map does not name.
        fresh: path of each variable that kept its random weights -> why.
        unused: tensors of the file that no variable took.
    """

    source: str
    system: str
    copied: tuple[str, ...]
    classes: tuple[tuple[str, str], ...]
    fresh_classes: tuple[str, ...]
    fresh: Mapping[str, str]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{os.path.basename(self.source)} ({self.system}): {len(self.copied)} weights copied"]
        lines += [f"  class {new} from {old}" for new, old in self.classes]
        lines += [f"  class {name} fresh" for name in self.fresh_classes]
        absent = collections.Counter(path.split("/")[0] for path, why in self.fresh.items() if why == ABSENT)
        lines += [f"  fresh: {part}: {count} weights {ABSENT}" for part, count in absent.items()]
        lines += [f"  fresh: {path}: {why}" for path, why in self.fresh.items() if why != ABSENT]
        lines += [f"  not used: {name}" for name in self.unused]
        return "\n".join(lines)


def load_interpreted(
    model: Any,
    source: Interpreted,
    source_names: tuple[str, ...] = (),
    class_map: Mapping[str, str] | str | None = None,
    partial: bool = False,
    strict: bool = True,
) -> LoadReport:
    """Set a model's variables from a checkpoint.

    Args:
        model: `MaskRCNN`.
        source: the checkpoint.
        source_names: names of its classes, for a class map.
        class_map: class of the model -> class of the checkpoint whose weights it takes, or "names" for every class
            that both have; None copies the class-wise layers whole or not at all.
        partial: whether the model may differ from the checkpoint's: variables may stay fresh, tensors unused.
        strict: whether tensors that no variable takes are an error; of a partial load, those that no name map knows.

    Raises:
        CheckpointError: variables without a tensor or of another shape while not `partial`, or left-over tensors.
            No variable has been changed.
    """
    classes = None
    if class_map:
        classes = match_classes(class_map, model.config.names, source_names, class_axes(model.config))
    source = _with_rpn_features(_with_res5_in_its_place(source, model.config), model.config)
    variables = {v.path: v for v in model.variables if not is_counter(v.path)}
    values, fresh = {}, {}
    for path, variable in variables.items():
        value, why = _value_for(path, variable, source.values.get(path), classes)
        if value is None:
            fresh[path] = why
        else:
            values[path] = value
    unused = tuple(source.names[path] for path in source.values if path not in variables) + source.unknown
    _check(source, fresh, unused, partial, strict)
    _check_finite(source, values)
    for path, value in values.items():
        variables[path].assign(np.ascontiguousarray(value, dtype=np.float32))
    pairs = classes.pairs if classes else ()
    fresh_classes = tuple(n for n in classes.names if n not in dict(pairs)) if classes else ()
    return LoadReport(source.path, source.system, tuple(values), pairs, fresh_classes, fresh, unused)


def _with_res5_in_its_place(source: Interpreted, config: MaskRCNNConfig) -> Interpreted:
    """A bare ResNet's res5 is the head of a C4 model."""
    if source.whole or config.features != "c4":
        return source
    values, names = (
        {path.replace("backbone/res5", "res5_head/res5"): value for path, value in pairs.items()}
        for pairs in (source.values, source.names)
    )
    return dataclasses.replace(source, values=values, names=names)


def _with_rpn_features(source: Interpreted, config: MaskRCNNConfig) -> Interpreted:
    """Where the RPN learns with a backbone of its own, that starts from the same weights, unless it has some."""
    if not config.rpn_has_features or any(path.startswith("rpn_backbone/") for path in source.values):
        return source
    values, names = (
        pairs | {f"rpn_{path}": value for path, value in pairs.items() if path.startswith(("backbone/", "fpn/"))}
        for pairs in (source.values, source.names)
    )
    return dataclasses.replace(source, values=values, names=names)


def is_counter(path: str) -> bool:
    """Whether a variable counts and is no weight."""
    return path.rsplit("/", 1)[1] in COUNTERS


def _value_for(path: str, variable: Any, value: np.ndarray | None, classes: ClassMap | None) -> tuple[Any, str]:
    """What a variable takes from the checkpoint, or None and why it takes nothing."""
    if value is None:
        return None, ABSENT
    if classes is not None and classes.covers(path):
        rows = classes.new_value(path, variable.numpy(), value)
        if rows is not None:
            return rows, ""
    elif tuple(value.shape) == tuple(variable.shape):
        return value, ""
    return None, f"{value.shape} in the checkpoint, {tuple(variable.shape)} here"


def _check(source: Interpreted, fresh: Mapping[str, str], unused: tuple[str, ...], partial: bool, strict: bool) -> None:
    if fresh and not partial:
        raise CheckpointError(
            f"{source.path}: {len(fresh)} weights of the model are not filled: "
            f"{_some(f'{path} ({why})' for path, why in fresh.items())}"
        )
    excess = source.unknown if partial else unused
    if excess and strict:
        raise CheckpointError(
            f"{source.path}: {len(excess)} tensors have no place in the model: {_some(excess)}; "
            "pass strict=False to leave them out"
        )


def _check_finite(source: Interpreted, values: Mapping[str, np.ndarray]) -> None:
    for path, value in values.items():
        if value.dtype.kind not in "fiu" or not np.isfinite(value).all():
            raise CheckpointError(f"{source.path}: {source.names[path]} holds something else than finite numbers")


def _some(names) -> str:
    names = list(names)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def open_checkpoint(path_or_id: str | os.PathLike) -> tuple[Interpreted, tuple[str, ...], dict[str, Any]]:
    """A checkpoint by its path or its id.

    Returns: the checkpoint, its class names (empty where unknown), and settings that its publisher states.

    Raises:
        CheckpointError, DownloadError: the file is unusable or cannot be had.
        ValueError: neither a file nor an id.
    """
    if os.path.exists(path_or_id):
        source = interpret(read_checkpoint(path_or_id))
        entry = lookup.of_file(os.path.basename(path_or_id))
        if entry is None:
            return source, known_class_names(source), {}
        return source, entry.class_names or known_class_names(source), dict(entry.settings)
    if os.fspath(path_or_id).endswith(ENDINGS):
        raise CheckpointError(f"there is no file {os.fspath(path_or_id)!r}")
    entry = lookup.find(os.fspath(path_or_id))
    source = interpret(read_checkpoint(fetch(entry)))
    return source, entry.class_names or known_class_names(source), dict(entry.settings)


def from_pretrained(
    model_class: Any,
    path_or_id: str | os.PathLike,
    class_map: Any,
    source_class_names: Any,
    strict: bool,
    overrides: Mapping[str, Any],
) -> Any:
    """What `MaskRCNN.from_pretrained` does; arguments and errors are its."""
    if os.fspath(path_or_id).endswith(".keras"):
        return _from_keras_file(model_class, path_or_id, class_map, overrides)
    source, names, settings = open_checkpoint(path_or_id)
    names = tuple(source_class_names or names)
    count = source.fields.get("num_classes", len(names))
    if len(names) not in (0, count):
        raise ValueError(f"{len(names)} source_class_names for a checkpoint of {count} classes")
    config = config_of(source, names, settings, overrides)
    partial = (
        not source.whole
        or class_map is not None
        or architecture_differences(config, config_of(source, names, settings, {}))
    )
    model = model_class(config) if partial else model_class.blank(config)
    return _loaded(model, source, names, class_map, partial, strict)


def _loaded(model: Any, *arguments: Any) -> Any:
    """The model with `load_interpreted`'s report, which is printed where anything was left over."""
    model.load_report = report = load_interpreted(model, *arguments)
    if report.fresh or report.fresh_classes or report.unused:
        print(report, file=sys.stderr)
    return model


def _from_keras_file(model_class: Any, path: str | os.PathLike, class_map: Any, overrides: Mapping[str, Any]) -> Any:
    """A model of this package, with some fields changed; what fits is copied."""
    model = model_class.load(path)
    if not overrides and class_map is None:
        return model
    own = _of_keras_file(model, path)
    changed = model_class(config_of(own, model.config.class_names, {}, overrides))
    return _loaded(changed, own, model.config.names, class_map, True)


def _of_keras_file(model: Any, path: str | os.PathLike) -> Interpreted:
    """What a file of this package holds, from the model that was loaded from it."""
    values = {v.path: v.numpy() for v in model.variables if not is_counter(v.path)}
    names = {path: path for path in values}
    return Interpreted(os.fspath(path), "mrcnn_keras", model.config.to_dict(), {}, values, names, (), whole=True)


def _check_backbones(path: str | os.PathLike, config: MaskRCNNConfig) -> None:
    """Whether a `.weights.h5` file has as many backbones as the model; of two, the RPN's comes first."""
    import h5py

    with h5py.File(path) as file:
        two = "res_net_1" in file.get("layers", ())
    if two != (config.training_stages == "stage_wise"):
        raise ValueError(f"{os.fspath(path)} is of a model {'with' if two else 'without'} a backbone of the RPN's own, "
                         f"and this is for training_stages={config.training_stages!r}; take a .keras file")  # fmt: skip


def from_preset(model_class: Any, preset: str, config: MaskRCNNConfig, weights: str, overrides: Mapping) -> Any:
    """What `MaskRCNN.from_preset` does where weights are given; arguments and errors are its."""
    if os.path.isfile(weights) and os.fspath(weights).endswith(".keras"):
        # By the variables' names: Keras goes by the order of the layers, and with the RPN's backbone that is another.
        own = _of_keras_file(model_class.load(weights), weights)
        return _loaded(model_class(config), own, (), None, False, False)
    if os.path.isfile(weights) and os.fspath(weights).endswith(".weights.h5"):
        _check_backbones(weights, config)
        model = model_class(config)
        model.load_weights(weights)
        return model
    if weights == "coco":
        twins = find_preset(preset).twins
        if not twins:
            known = ", ".join(name for name, one in PRESETS.items() if one.twins)
            raise ValueError(f"weights='coco': there is no public model of {preset!r}, only of {known}")
        training = {name: getattr(config, name) for name in _TRAINING}
        by_name = BY_NAME if overrides.get("class_names") else None
        return from_pretrained(model_class, twins[0], by_name, None, True, {**training, **overrides})
    if weights == "imagenet":
        weights = _imagenet(config.backbone)
    elif weights == "imagenet5k":
        weights = lookup.imagenet_5k(config.backbone)
    source, names, settings = open_checkpoint(weights)
    taken = settings_for(config, source, settings)
    model = model_class(make_config({**config.to_dict(), **taken, **overrides}))
    by_name = BY_NAME if names and overrides.get("class_names") else None
    model = _loaded(model, source, names, by_name, True)
    own = [path for path in model.load_report.fresh if path.startswith("backbone/")]
    strange = [path for path in own if "_non_local_" not in path]  # these are always new
    if strange:
        raise CheckpointError(
            f"{source.path}: its {source.fields['backbone']} is not the backbone of {preset!r} with these settings "
            f"({strange[0]}: {model.load_report.fresh[strange[0]]})"
        )
    return model


# What a preset says of training and its twin's checkpoint does not.
_TRAINING = ("train_min_sides", "min_side_sampling", "total_steps", "learning_rate_drops", "batch_size")


def _imagenet(backbone: str) -> str:
    """The id of a backbone's ImageNet weights."""
    known = {model.id for model in lookup.all_models()}
    if f"torchvision/{backbone}" not in known:
        having = ", ".join(name for name in BACKBONES if f"torchvision/{name}" in known)
        raise ValueError(f"weights='imagenet': there are no public ones of {backbone!r}, only of {having}"
                         + "; 'imagenet5k' has them" * (backbone in lookup.IMAGENET_5K))  # fmt: skip
    return f"torchvision/{backbone}"
