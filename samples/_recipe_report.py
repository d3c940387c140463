"""What was measured beside the paper's numbers, as Markdown and as values for JSON."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from _paper import Row
from _paper_tables import TABLES
from _recipes import full_fields

from mrcnn_keras.training.named_schedules import SCHEDULES

NOT_MEASURED, NOTHING_THERE = "not run", "nothing to find"
_NO_NUMBER = "–"
_NOTES = {
    "tiny": "Narrow networks after a few steps from random weights on drawn scenes: the numbers say that each recipe "
    "runs from end to end, and nothing about how its rows compare.",
    "small": "Narrow networks from random weights on drawn scenes: what counts is the difference between the rows.",
    "full": "Trained on train2017 and tested on val2017, which are close to the paper's trainval35k and minival. The "
    "numbers of test-dev and of Cityscapes' test set come from the benchmarks' servers: the columns here are val's. "
    "Files to send are in for_the_server, where the images of those sets were there.",
}
_DATA = {"thin": "drawn shapes", "large": "large drawn shapes", "stick": "drawn stick figures", "city": "a drawn city",
         "coco": "COCO train2017", "persons": "COCO train2017, persons", "cityscapes": "Cityscapes, fine"}  # fmt: skip
_STARTS = {"classes": "a model of other data", "backbone": "a backbone of other data"}
_FULL_TESTS = {"test-dev": "val2017, for test-dev", "minival": "val2017", "cityscapes": "val"}

Measured = Callable[[Row], Sequence[dict[str, float]]]


def as_values(number: str, rows: Sequence[Row], measured: Measured, about: Callable[[Row], dict]) -> dict[str, Any]:
    """A table for a JSON file, with all numbers in percent.

    Args:
        number: of the table.
        rows: of it.
        measured: for a row the metrics of its trainings, by column and in 0..1.
        about: for a row the training, the test and the seconds, {} where there are none.
    """
    table = TABLES[number]
    listed = []
    for row in rows:
        found = measured(row)
        of = {column: _values(found, column) for column in table.columns}
        means = {column: statistics.mean(values) if values else None for column, values in of.items()
                 if any(column in one for one in found)}  # fmt: skip
        spread = {column: statistics.stdev(values) for column, values in of.items() if len(values) > 1}
        one = {"row": row.name, "number": table.rows.index(row) + 1, "other_system": row.model is None}
        values = {"paper": dict(row.paper), "measured": means, "spread": spread, "changes": dict(row.fields)}
        listed.append({**one, **values, **about(row)})
    return {"table": number, "title": table.title, "columns": list(table.columns), "rows": listed}


def as_markdown(values: dict[str, Any], scale: str) -> str:
    """The same as text: the table, the gains of its last row, and its recipes.

    Args:
        values: of `as_values`.
        scale: one of `SCALES`.
    """
    columns = values["columns"]
    lines = [f"## Table {values['table']}: {values['title']}", "", *_heading("row", columns)]
    for row in values["rows"]:
        lines.append(_line(row["row"], [_cell(row, column) for column in columns]))
    lines += ["", *_gains(values)]
    recipes = [row for row in values["rows"] if "training" in row]
    if recipes:
        lines += [
            *_heading("recipe", _RECIPE_COLUMNS),
            *(_line(row["row"], _recipe(row, scale)) for row in recipes),
            "",
        ]
    return "\n".join(lines)


def introduction(scale: str, left_out: Sequence[str] = ()) -> str:
    """The report's beginning, with the rows that could not be done."""
    lines = "".join(f"\nLeft out: {line}.\n" for line in left_out)
    return (
        f"# The paper's tables at {scale} scale\n\nAP in percent: measured, mean of the seeds ± standard deviation "
        f"(the paper's number). {_NO_NUMBER}: other systems, which are not trained here, or a number that the paper "
        f"does not have. {_NOTES[scale]}\n{lines}"
    )


_RECIPE_COLUMNS = ("preset", "changes", "data", "schedule", "starts from", "trained", "test", "minutes")


def _recipe(row: dict[str, Any], scale: str) -> list[str]:
    training, test = row["training"], row["test"]
    data = training["data"][0]
    start = training.get("weights") or (_STARTS[training["start_part"]] if "start" in training else "random weights")
    steps = training["steps"] or full_fields(training, 8)["total_steps"]
    title = SCHEDULES[training["schedule"]].title
    stages = training["fields"].get("training_stages", "end_to_end")
    views = "test-time augmentation" if test["tta"] else "one view"
    of = _FULL_TESTS[test["of"]] if scale == "full" else f"{test['images']} drawn images for {test['of']}"
    changes = ", ".join(f"{name}={value}" for name, value in row["changes"].items()) or _NO_NUMBER
    others = " and images without labels" if training.get("distilled") else ""
    seconds = row.get("seconds")
    minutes = _NO_NUMBER if seconds is None else f"{seconds / 60:.1f}"
    schedule = f"{training['schedule']} ({title}): {steps} steps" + (" a stage" if stages != "end_to_end" else "")
    return [training["preset"], changes, _DATA[data] + others, schedule, start, stages.replace("_", " "),
            f"{of}, {views}", minutes]  # fmt: skip


def _gains(values: dict[str, Any]) -> list[str]:
    """The last row less each other one that was measured, where all belong together as in table 2."""
    if not values["table"].startswith(("2", "6")):
        return []
    *others, last = values["rows"]
    columns, lines = values["columns"], []
    for row in others:
        cells = []
        for column in columns:
            before, after = (one["measured"].get(column) for one in (row, last))
            paper = last["paper"][column] - row["paper"][column]
            gain = NOT_MEASURED if before is None or after is None else f"{after - before:.1f}"
            cells.append(f"{gain} ({paper:.1f})")
        lines.append(_line(f"{last['row']} - {row['row']}", cells))
    return [*_heading("gain", columns), *lines, ""] if lines else []


def _cell(row: dict[str, Any], column: str) -> str:
    paper = row["paper"].get(column)
    said = "" if paper is None else f" ({paper})"
    if row["other_system"]:
        return _NO_NUMBER + said
    if column in row["measured"]:
        spread = f" ± {row['spread'][column]:.1f}" if column in row["spread"] else ""
        value = row["measured"][column]
        return (NOTHING_THERE if value is None else f"{value:.1f}{spread}") + said
    return NOT_MEASURED + said if paper is not None else _NO_NUMBER


def _values(found: Sequence[dict[str, float]], column: str) -> list[float]:
    """The numbers of a column that there are, in percent; nan means that nothing of that kind was there to find."""
    return [100 * one[column] for one in found if column in one and one[column] == one[column]]


def _heading(first: str, columns: Sequence[str]) -> list[str]:
    return [_line(first, columns), "|---" * (1 + len(columns)) + "|"]


def _line(first: str, cells: Sequence[str]) -> str:
    return "| " + " | ".join([first, *cells]) + " |"
