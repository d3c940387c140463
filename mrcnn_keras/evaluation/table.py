"""Metrics as a table to read."""

from typing import Any

import numpy as np

_HEADINGS = {"bbox": "boxes", "segm": "masks", "keypoints": "points"}  # short: the table fits 80 columns


def format_table(metrics: dict[str, dict[str, float]], title: str = "COCO metrics", console: Any = None) -> None:
    """Print metrics as a table of percentages, a row for boxes and one for masks; keypoints get a table of their own.

    Args:
        metrics: what `evaluate_coco` returns.
        title: line above the table.
        console: `rich.console.Console` to print to; by default standard output.
    """
    from rich.console import Console
    from rich.table import Table

    console = console or Console()
    for number, names in enumerate(dict.fromkeys(tuple(values) for values in metrics.values())):
        table = Table(title=title if number == 0 else None)
        table.add_column("")
        for name in names:
            table.add_column(name, justify="right", style="bold" if name == "AP" else None)
        for kind in (kind for kind, values in metrics.items() if tuple(values) == names):
            cells = (metrics[kind][name] for name in names)
            table.add_row(_HEADINGS.get(kind, kind), *("-" if np.isnan(v) else f"{100 * v:.1f}" for v in cells))
        console.print(table)
