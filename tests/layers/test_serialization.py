"""Every class of the package that Keras saves comes back from its configuration with all its arguments."""

import importlib
import inspect
import json
import pkgutil

import keras
import pytest

import mrcnn_keras
from mrcnn_keras.layers.normed import NormedLayer

KINDS = (keras.layers.Layer, keras.optimizers.Optimizer, keras.optimizers.schedules.LearningRateSchedule)

# Arguments whose values have to fit each other, or that take words; all other values are made up from the defaults.
SPECIAL = {
    "Anchors": {"sizes": ((8, 12), (16, 24)), "strides": (4, 8), "ratios": (0.75, 1.25)},
    "Bottleneck": {"groups": 4, "filters": 32, "bottleneck_filters": 8, "strides": 2, "norm_groups": 4},
    "ConvNorm": {"filters": 8, "kernel_size": 3, "groups": 2, "kernel_initializer": "xavier", "norm_groups": 4},
    "MaskHead": {"kind": "softmax"},
    "MaskLoss": {"kind": "softmax"},
    "MaskMLPHead": {"kind": "softmax"},
    "MaskPredictor": {"kind": "softmax"},
    "MaskProbabilities": {"kind": "softmax"},
    "ResNet": {"block_counts": (1, 2, 1, 2), "freeze_at": 3, "stem_pool": "same", "non_local": (0, 1, 1, 0)},
    "BoxHead": {"fc_norm": "batch", "pool": "mean"},
    "KeypointDecoder": {"score": "logit"},
    "RoIAlignLayer": {"operator": "crop_and_resize", "level_rounding": "nearest", "reduce": "max"},
    "RPNLoss": {"iou_thresholds": (0.25, 0.65)},
}
REQUIRED = {"filters": 8, "bottleneck_filters": 4}
WORDS = {"norm": "group", "name": "another_name", "dtype": "mixed_bfloat16"}


def package_classes():
    """Classes of the package that are layers, optimizers or schedules, but no models."""
    found = {}
    for info in pkgutil.walk_packages(mrcnn_keras.__path__, "mrcnn_keras."):
        if info.name.rpartition(".")[2].startswith("_") or "cli" in info.name:
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            ours = inspect.isclass(value) and value.__module__ == info.name and not issubclass(value, keras.Model)
            if ours and issubclass(value, KINDS):
                found[name] = value
    return found


CLASSES = package_classes()


def other_value(name, default):
    """A value unlike the default, of its type."""
    if name in WORDS:
        return WORDS[name]
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default + 1
    if isinstance(default, float):
        return default * 0.75 + 0.01
    if isinstance(default, (tuple, list)) and default:
        return tuple(other_value(name, item) for item in default)
    raise ValueError(f"no value made up for {name}={default!r}: add it to SPECIAL")


def other_arguments(cls):
    """For every named argument of the constructor a value that is not its default."""
    values = {}
    parameters = dict(inspect.signature(cls.__init__).parameters)
    if issubclass(cls, NormedLayer):
        parameters = {**inspect.signature(NormedLayer.__init__).parameters, **parameters}
    for name, parameter in parameters.items():
        if name == "self" or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if name in SPECIAL.get(cls.__name__, {}):
            values[name] = SPECIAL[cls.__name__][name]
        elif parameter.default is parameter.empty:
            values[name] = REQUIRED[name]
        else:
            values[name] = other_value(name, parameter.default)
        assert values[name] != parameter.default
    return values


def plain(value):
    """What is left of a configuration in a JSON file."""
    return json.loads(json.dumps(value))


def test_the_walk_finds_layers_in_every_folder():
    folders = {cls.__module__.split(".")[1] for cls in CLASSES.values()}
    assert folders >= {"layers", "heads", "backbones", "training"}


@pytest.mark.parametrize("name", CLASSES)
def test_is_registered_under_the_package(name):
    assert keras.saving.get_registered_name(CLASSES[name]).startswith("mrcnn_keras>")


@pytest.mark.parametrize("name", CLASSES)
def test_every_argument_survives_a_json_round_trip(name):
    cls = CLASSES[name]
    given = other_arguments(cls)
    common = {"name": "another_name", "dtype": "mixed_bfloat16", "trainable": False}
    one = cls(**given, **(common if issubclass(cls, keras.layers.Layer) else {}))
    saved = plain(keras.saving.serialize_keras_object(one))
    other = keras.saving.deserialize_keras_object(saved)
    assert type(other) is cls
    assert plain(keras.saving.serialize_keras_object(other)) == saved
    config = other.get_config()
    for argument, value in given.items():
        assert argument in config, f"{name}.get_config() has no {argument}"
        if argument != "kernel_initializer":  # an object by now; it is compared as a part of `saved`
            expected = pytest.approx(value) if isinstance(value, float) else plain(value)  # a rate is kept as float32
            assert plain(config[argument]) == expected, argument


@pytest.mark.parametrize("name", [name for name, cls in CLASSES.items() if issubclass(cls, keras.layers.Layer)])
def test_name_dtype_and_trainable_survive(name):
    cls = CLASSES[name]
    one = cls(**other_arguments(cls), name="another_name", dtype="mixed_bfloat16", trainable=False)
    other = cls.from_config(plain(one.get_config()))
    assert other.name == "another_name"
    assert other.trainable is False
    assert other.dtype_policy.name == "mixed_bfloat16"
