"""Options that several commands and samples share. Nothing here imports TensorFlow."""

import argparse
import ast
import dataclasses
import difflib
import os
import pathlib
import types
import typing
from typing import Any

from mrcnn_keras.config import MaskRCNNConfig
from mrcnn_keras.presets import PRESETS

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


class UsageError(ValueError):
    """The command line asks for something impossible; the exit status is 2."""


WEIGHTS_HELP = "start from 'imagenet', 'imagenet5k', 'coco', a checkpoint's file or id, or a .keras or .weights.h5 file"
MODEL_HELP = "a .keras file, a checkpoint of another system, or an id of list-weights"


def add_detection(parser: argparse.ArgumentParser) -> None:
    """Describe --batch-size and --replicas of a command that detects on many images."""
    parser.add_argument("--batch-size", type=positive, default=1, metavar="N",
                        help="images at a time on each device (1)")  # fmt: skip
    parser.add_argument("--replicas", type=positive, default=1, metavar="N",
                        help="devices that share the images (1); CPUs where there are no GPUs")  # fmt: skip


def add_detect_options(parser: argparse.ArgumentParser) -> None:
    """Describe options of `MaskRCNN.detect`; `detect_options(args)` gives what was set."""
    parser.add_argument("--tta", action="store_true",
                        help="test-time augmentation, with the views of tta_scales and tta_flip")  # fmt: skip
    parser.add_argument("--soft-nms", type=above_zero, nargs="?", const=0.5, metavar="SIGMA",
                        help="Soft-NMS in place of suppression (sigma 0.5)")  # fmt: skip
    parser.add_argument("--tiles", type=positive, nargs="?", const=True, metavar="SIZE",
                        help="cut very large images into tiles of so many pixels a side (image_min_side)")  # fmt: skip
    parser.add_argument("--class-score", type=class_score, action="append", default=[], metavar="NAME=S",
                        help="least score of a class, in place of score_threshold; any number of times")  # fmt: skip


def detect_options(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of `MaskRCNN.detect` that were asked for."""
    given = {"tta": args.tta, "soft_nms_sigma": args.soft_nms, "tiles": args.tiles}
    given["score_threshold"] = dict(args.class_score)
    return {name: value for name, value in given.items() if value}


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add `--set FIELD=VALUE`; `settings(args)` gives what was set."""
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="FIELD=VALUE",
        type=setting,
        action="append",
        default=[],
        help="a field of the configuration, any number of times; lists as 1,2,3 (fields: help(MaskRCNNConfig))",
    )


def add_classes(parser: argparse.ArgumentParser) -> None:
    """Add `--classes NAME...`, the argument of `CocoDataset`."""
    parser.add_argument(
        "--classes", nargs="+", metavar="NAME", help="only these categories of the annotations, in this order"
    )


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """The config fields given with `--set`; of a field given twice, the last value."""
    return dict(args.settings)


def setting(text: str) -> tuple[str, Any]:
    """One `FIELD=VALUE`, the value read as the field's type.

    Raises:
        argparse.ArgumentTypeError: no such field (the nearest ones are named), or a value of another type.
    """
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: expected FIELD=VALUE")
    fields = {field.name: field.type for field in dataclasses.fields(MaskRCNNConfig)}
    if name not in fields:
        near = difflib.get_close_matches(name, fields, n=3, cutoff=0.5) or sorted(fields)
        raise argparse.ArgumentTypeError(f"there is no config field {name!r}; did you mean {', '.join(near)}?")
    try:
        return name, _parse(fields[name], value.strip())
    except (ValueError, SyntaxError):
        kind = _describe(fields[name])
        raise argparse.ArgumentTypeError(f"{name}={value!r}: expected {kind}") from None


def preset(text: str) -> str:
    """The name of a preset, for `type=`."""
    if text not in PRESETS:
        near = difflib.get_close_matches(text, PRESETS, n=3, cutoff=0.4) or PRESETS
        raise argparse.ArgumentTypeError(f"there is no preset {text!r}; did you mean {' or '.join(near)}?")
    return text


def _path(text: str) -> pathlib.Path:
    return pathlib.Path(os.path.expanduser(text))  # as a shell does: "~x.jpg" is a name where there is no user x.jpg


def folder(text: str) -> pathlib.Path:
    """A folder that exists, for `type=`."""
    path = _path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(_absent(path, "folder"))
    return path


def file(text: str) -> pathlib.Path:
    """A file that exists, for `type=`."""
    path = _path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(_absent(path, "file"))
    return path


def model(text: str) -> str:
    """A model: a file that exists, or the id of a public checkpoint, for `type=`."""
    path = _path(text)
    if path.is_file():
        return str(path)
    from mrcnn_keras.weights.loading import ENDINGS
    from mrcnn_keras.weights.zoo import lookup as zoo

    if text.endswith(ENDINGS) or path.exists():
        raise argparse.ArgumentTypeError(_absent(path, "file"))
    try:
        return zoo.find(text).id
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"there is no file {text!r}, and {error}") from None


def weights(text: str) -> str:
    """What `MaskRCNN.from_preset` takes as weights, for `type=`."""
    return text if text in ("imagenet", "imagenet5k", "coco") else model(text)


def existing(text: str) -> pathlib.Path:
    """A file or folder that exists, for `type=`."""
    path = _path(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"there is no file or folder {text!r}")
    return path


def positive(text: str) -> int:
    """A whole number from 1 up, for `type=`."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 up")
    return int(text)


def minutes(text: str) -> float:
    """A number of minutes above 0, for `type=`."""
    return above_zero(text, "a number of minutes")


def above_zero(text: str, what: str = "a number") -> float:
    """A number above 0, for `type=`."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected {what} above 0")
    return value


def class_score(text: str) -> tuple[str, float]:
    """A class and a score, `NAME=S`, for `type=`."""
    name, equals, value = text.rpartition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=S, such as person=0.3")
    return name, fraction(value)


def fraction(text: str) -> float:
    """A number in [0, 1], for `type=`."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 0 to 1")
    return value


def _absent(path: pathlib.Path, what: str) -> str:
    return f"{str(path)!r} is not a {what}" if path.exists() else f"there is no {what} {str(path)!r}"


def _parse(kind: Any, text: str) -> Any:
    if kind is bool:
        if text.lower() not in _TRUE + _FALSE:
            raise ValueError(text)
        return text.lower() in _TRUE
    if kind in (int, float, str):
        return kind(text)
    members = typing.get_args(kind)
    if members and members[0] is str:
        return tuple(name.strip() for name in text.strip("()[] ").split(",") if name.strip())
    value = ast.literal_eval(text if text else "()")
    value = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return _numbers(value, members[0] if members else float)


def _numbers(values: tuple, kind: type) -> tuple:
    """Numbers, or tuples of them; whole numbers stay whole."""
    result = []
    for value in values:
        if isinstance(value, (tuple, list)):
            result.append(_numbers(tuple(value), kind))
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or (kind is int and value != int(value)):
            raise ValueError(value)
        else:
            result.append(int(value) if kind is int else value)
    return tuple(result)


def _describe(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
    if kind in names:
        return names[kind]
    inner = names.get((typing.get_args(kind) or (float,))[0], "a number")
    return f"a list such as 1,2,3, each {inner}" if isinstance(kind, types.GenericAlias) or kind is tuple else str(kind)
