"""`mrcnn-keras list-weights`: the public checkpoints by id."""

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING

from mrcnn_keras.commands.options import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from mrcnn_keras.weights.zoo.pretrained import PretrainedModel

HELP = "list the public checkpoints by id"
_TASKS = ("box", "mask", "keypoints")
# Where the output is no terminal, rich would cut it to 80 columns.
_WIDTH_OF_FILES = 160


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("filter", nargs="?", default="", help="list only ids that hold this, in upper or lower case")
    parser.add_argument("--json", action="store_true", help="print all that is known of them as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the checkpoints, with "cached" for those that need no download."""
    from mrcnn_keras.weights.zoo import lookup as zoo

    models = [model for model in zoo.all_models() if args.filter.casefold() in model.id.casefold()]
    if not models:
        raise UsageError(f"no id holds {args.filter!r}; without it all are listed")
    if args.json:
        print(json.dumps([_as_dict(model) for model in models], indent=2))
        return 0
    from rich.console import Console

    width = None if sys.stdout.isatty() else _WIDTH_OF_FILES
    Console(width=width, highlight=False).print(_table(models))
    return 0


def _table(models: "list[PretrainedModel]") -> "Table":
    from rich.table import Table

    from mrcnn_keras.weights.zoo.download import cached_path

    table = Table("id", caption="AP on the data that the model is for, in percent. MB: download, where it is known.")
    table.columns[0].overflow = "fold"
    for name in ("MB", "box AP", "mask AP", "keypoint AP"):
        table.add_column(name, justify="right")
    table.add_column("licence")
    table.add_column("")
    for model in models:
        size = f"{model.size / 1e6:.0f}" if model.size else ""
        ap = (str(model.ap.get(task, "")) for task in _TASKS)
        cached = "cached" if cached_path(model).is_file() else ""
        table.add_row(model.id, size, *ap, model.licence, cached)
    return table


def _as_dict(model: "PretrainedModel") -> dict:
    from mrcnn_keras.weights.zoo.download import cached_path

    path = cached_path(model)
    return {**dataclasses.asdict(model), "path": str(path), "cached": path.is_file()}
