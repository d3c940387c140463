"""What a training leaves behind: the last and the best model, its curves as a table and as a picture."""

import csv
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def verbosity() -> str | int:
    """The `verbose` of `fit`: its live bar on a terminal, one line an epoch in a log."""
    return "auto" if sys.stdout.isatty() else 2


def recorders(
    out: str | pathlib.Path,
    validation: Any = None,
    *,
    evaluation: Any = None,
    others: Sequence[Any] = (),
    save_every: int = 1000,
    resume: bool = False,
    writes: bool = True,
) -> list:
    """Callbacks for `fit` that write into a folder.

    The states of `training.Checkpoints`, among them `last.keras`; after each epoch `history.csv` and `curves.png`, the
    losses and the average precision by epoch; and with a validation set `best.keras`, the model of the best keypoint
    AP, or mask AP where there are no keypoints, or box AP.

    Args:
        out: the folder; made if need be.
        validation: `mrcnn_keras.data.Dataset` to evaluate on, or None.
        evaluation: callback that does it; None: `CocoEvaluation`.
        others: callbacks that see the average precision, too.
        save_every: steps between two states.
        resume: go on from the newest state in the folder.
        writes: whether this process is the one that writes, of those that train together; all of them evaluate.
    """
    import keras

    from mrcnn_keras.evaluation import CocoEvaluation
    from mrcnn_keras.training import Checkpoints

    out = pathlib.Path(out)
    states = Checkpoints(out, every=save_every, resume=resume)
    if validation is not None and evaluation is None:
        evaluation = CocoEvaluation(validation, verbose=sys.stdout.isatty())
    evaluations = [evaluation] if evaluation else []
    if not writes:
        return [*evaluations, states]
    table = out / "history.csv"

    class History(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            from mrcnn_keras.visualize import plot_history

            out.mkdir(parents=True, exist_ok=True)
            add_to_history(table, epoch, logs)
            plot_history(read_history(table), out / "curves.png")

    return [*evaluations, History(), *others, states]


def add_to_history(path: pathlib.Path, epoch: int, logs: Mapping[str, Any]) -> None:
    """Write an epoch's row into a `history.csv`, in place of it and later ones if they are there."""
    rows = []
    if path.exists():
        with open(path, newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if row["epoch"].isdecimal() and int(row["epoch"]) < epoch]
    rows.append({"epoch": epoch, **logs})
    names = list(dict.fromkeys(name for row in rows for name in row))
    beside = path.with_suffix(".partial")
    with open(beside, "w", newline="") as lines:
        writer = csv.DictWriter(lines, names)
        writer.writeheader()
        writer.writerows(rows)
    beside.replace(path)


def read_history(path: str | pathlib.Path) -> dict[str, list[float]]:
    """Columns of a `history.csv`, without the epoch's number; a value that was not computed is nan."""
    with open(path, newline="") as lines:
        rows = list(csv.DictReader(lines))
    names = [name for name in (rows[0] if rows else ()) if name != "epoch"]
    return {name: [_number(row[name]) for row in rows] for name in names}


def _number(text: str | None) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("nan")
