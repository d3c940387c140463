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
    metrics = {kind: {n: v for n, v in values.items() if n != "classes"} for kind, values in metrics.items()}
    for number, names in enumerate(dict.fromkeys(tuple(values) for values in metrics.values())):
        table = Table(title=title if number == 0 else None)
        table.add_column("")
        for name in names:
            table.add_column(name, justify="right", style="bold" if name == "AP" else None)
        for kind in (kind for kind, values in metrics.items() if tuple(values) == names):
            cells = (metrics[kind][name] for name in names)
            table.add_row(_HEADINGS.get(kind, kind), *("-" if np.isnan(v) else f"{100 * v:.1f}" for v in cells))
        console.print(table)


def format_class_table(metrics: dict[str, dict[str, Any]], title: str = "AP by class", console: Any = None) -> None:
    """Print the average precision of each class in percent, a column for boxes, masks and keypoints each.

    Args:
        metrics: what `evaluate_coco(..., per_class=True)` returns.
        title: line above the table.
        console: `rich.console.Console` to print to; by default standard output.
    """
    from rich.console import Console
    from rich.table import Table

    kinds = [kind for kind, values in metrics.items() if "classes" in values]
    table = Table("class", title=title)
    for kind in kinds:
        table.add_column(_HEADINGS.get(kind, kind), justify="right")
    for name in metrics[kinds[0]]["classes"] if kinds else ():
        cells = [metrics[kind]["classes"][name]["AP"] for kind in kinds]
        table.add_row(name, *("-" if np.isnan(value) else f"{100 * value:.1f}" for value in cells))
    (console or Console()).print(table)
