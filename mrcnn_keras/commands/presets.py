"""`mrcnn-keras presets`: the architectures by name."""

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

HELP = "list the architectures by name"
_TASKS = ("box", "mask", "keypoints")
# Where the output is no terminal, rich would cut it to 80 columns.
_WIDTH_OF_FILES = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("filter", nargs="?", default="", help="list only names that hold this")
    parser.add_argument("--fields", action="store_true", help="the config fields of each, instead of the table")
    parser.add_argument("--json", action="store_true", help="all that is known of them as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the presets: the paper's rows, twins, sizes and the paper's AP."""
    from rich.console import Console

    from mrcnn_keras.commands.options import UsageError
    from mrcnn_keras.presets import PRESETS

    chosen = {name: preset for name, preset in PRESETS.items() if args.filter in name}
    if not chosen:
        raise UsageError(f"no preset holds {args.filter!r}; without it all are listed")
    if args.json:
        print(json.dumps({name: dataclasses.asdict(preset) for name, preset in chosen.items()}, indent=2))
        return 0
    width = None if sys.stdout.isatty() else _WIDTH_OF_FILES
    Console(width=width, highlight=False).print(_fields(chosen) if args.fields else _table(chosen))
    return 0


def _table(presets: dict) -> "Table":
    from rich.table import Table

    caption = "parameters: millions, outside norms. GFLOPs: multiply-adds of an 800x1333 image. AP: the paper's."
    table = Table("preset", "the paper's tables", caption=caption)
    table.columns[0].no_wrap = True
    for name in ("box AP", "mask AP", "keypoint AP", "parameters", "GFLOPs"):
        table.add_column(name, justify="right")
    table.add_column("public twin", overflow="fold")
    for name, preset in presets.items():
        ap = (str(preset.ap.get(task, "")) for task in _TASKS)
        size = f"{preset.parameters / 1e6:.1f}", f"{preset.gflops:.0f}" if preset.gflops else ""
        table.add_row(name, "\n".join(preset.rows), *ap, *size, next(iter(preset.twins), ""))
    return table


def _fields(presets: dict) -> "Table":
    from rich.table import Table

    table = Table("preset", "fields that differ from MaskRCNNConfig()")
    table.columns[0].no_wrap = True
    for name, preset in presets.items():
        table.add_row(name, ", ".join(f"{field}={value!r}" for field, value in preset.fields.items()))
    return table
