"""`mrcnn-keras presets`: the architectures by name."""

import argparse

HELP = "list the architectures by name"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(args: argparse.Namespace) -> int:
    """Print every preset with the fields in which it differs from the default."""
    from rich.console import Console
    from rich.table import Table

    from mrcnn_keras.presets import PRESETS

    table = Table()
    table.add_column("preset", no_wrap=True)
    table.add_column("fields that differ from MaskRCNNConfig()")
    for name, fields in PRESETS.items():
        table.add_row(name, ", ".join(f"{field}={value!r}" for field, value in fields.items()))
    Console().print(table)
    return 0
