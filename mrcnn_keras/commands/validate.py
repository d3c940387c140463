"""`mrcnn-keras validate`: faults of a COCO dataset, found before training, and what is in it."""

import argparse
import pathlib
import sys
from typing import TYPE_CHECKING

from mrcnn_keras.commands import options

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from mrcnn_keras.data import ValidationReport
    from mrcnn_keras.data.validation.tables import TextTable

HELP = "check a COCO dataset: every image, every annotation, class balance, sizes"
# Findings of a kind, and rows of a table, that are printed; the report has all.
_FINDINGS, _ROWS = 3, 30
# Where the output is no terminal, rich would cut it to 80 columns.
_WIDTH_OF_FILES = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("--images", type=options.folder, required=True, metavar="DIR", help="folder of the images")
    parser.add_argument(
        "--annotations", type=options.file, required=True, metavar="FILE", help="COCO annotations (.json)"
    )
    parser.add_argument(
        "--report",
        type=pathlib.Path,
        metavar="FILE",
        help="write all findings: JSON if it ends in .json, else Markdown",
    )
    parser.add_argument("--jobs", type=options.positive, metavar="N", help="processes (as many as there are CPUs)")


def run(args: argparse.Namespace) -> int:
    """Check, print and write; 1 if training is not safe."""
    from rich.console import Console

    from mrcnn_keras.data import validate_coco

    if args.report and args.report.is_dir():
        raise options.UsageError(f"--report: {args.report} is a folder, expected a file")
    report = validate_coco(args.images, args.annotations, jobs=args.jobs, progress=sys.stderr.isatty())
    if args.report:
        report.write(args.report)
    width = None if sys.stdout.isatty() else _WIDTH_OF_FILES
    _print(report, Console(width=width, highlight=False, emoji=False), args.report)
    return 0 if report.ok else 1


def _print(report: "ValidationReport", console: "Console", written: pathlib.Path | None) -> None:
    from mrcnn_keras.data.validation.tables import statistics_tables

    for table in [] if report.statistics is None else statistics_tables(report.statistics):
        console.print(_as_rich(table))
    _print_findings(report, console)
    console.print(str(report), style="green" if report.ok else "red", markup=False)
    if written:
        console.print(f"wrote {written}", markup=False)
    elif max(report.counts.values(), default=0) > _FINDINGS:
        console.print("--report FILE lists all")


def _print_findings(report: "ValidationReport", console: "Console") -> None:
    from mrcnn_keras.data.validation import KINDS

    for kind, findings in report.by_kind():
        style = "bold red" if KINDS[kind].severity == "error" else "bold yellow"
        heading = f"{KINDS[kind].severity}: {KINDS[kind].title} ({kind}): {report.counts[kind]}"
        console.print(heading, style=style, markup=False)
        for finding in findings[:_FINDINGS]:
            console.print(f"  {finding}", markup=False, soft_wrap=True)
        if report.counts[kind] > _FINDINGS:
            console.print(f"  ... and {report.counts[kind] - _FINDINGS} more")


def _as_rich(table: "TextTable") -> "Table":
    from rich.table import Table
    from rich.text import Text

    hidden = len(table.rows) - _ROWS
    drawn = Table(title=table.title, caption=f"and {hidden} more" if hidden > 0 else None)
    for number, name in enumerate(table.columns):
        drawn.add_column(name, justify="right" if number else "left")
    for row in table.rows[:_ROWS]:
        drawn.add_row(*map(Text, row))  # names may hold [brackets]
    return drawn
