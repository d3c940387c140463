"""What a training leaves behind: the last and the best model, its curves as a table and as a picture."""

import csv
import pathlib
import sys
from typing import Any


def verbosity() -> str | int:
    """The `verbose` of `fit`: its live bar on a terminal, one line an epoch in a log."""
    return "auto" if sys.stdout.isatty() else 2


def recorders(out: str | pathlib.Path, validation: Any = None, *, every: int = 1, append: bool = False) -> list:
    """Callbacks for `fit` that write, after each epoch, into a folder.

    `last.keras`; `history.csv` and `curves.png`, the losses and the average precision by epoch; and with a validation
    set `best.keras`, the model of the best keypoint AP, or mask AP where there are no keypoints, or box AP.

    Args:
        out: the folder; made if need be.
        validation: `mrcnn_keras.data.Dataset` to evaluate on, or None.
        every: evaluate after every so many epochs, 1 or more.
        append: go on with an existing `history.csv`.
    """
    import keras

    from mrcnn_keras.evaluation import CocoEvaluation

    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    table = out / "history.csv"

    class Curves(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            from mrcnn_keras.visualize import plot_history

            plot_history(read_history(table), out / "curves.png")

    class Best(keras.callbacks.ModelCheckpoint):
        def on_epoch_end(self, epoch, logs=None):
            # Known only now: what the model finds, and whether this epoch was evaluated.
            names = (f"val_{kind}_AP" for kind in ("keypoints", "segm", "bbox"))
            self.monitor = next(name for name in names if name in logs)
            if logs[self.monitor] == logs[self.monitor]:
                super().on_epoch_end(epoch, logs)

    callbacks = [] if validation is None else [CocoEvaluation(validation, every=every, verbose=sys.stdout.isatty())]
    callbacks += [keras.callbacks.CSVLogger(str(table), append=append), Curves()]
    callbacks.append(keras.callbacks.ModelCheckpoint(str(out / "last.keras")))
    if validation is not None:
        callbacks.append(Best(str(out / "best.keras"), monitor="val_bbox_AP", mode="max", save_best_only=True))
    return callbacks


def read_history(path: str | pathlib.Path) -> dict[str, list[float]]:
    """Columns of a `history.csv`, without the epoch's number; a value that was not computed is nan."""
    with open(path, newline="") as lines:
        rows = list(csv.DictReader(lines))
    names = [name for name in (rows[0] if rows else ()) if name != "epoch"]
    return {name: [_number(row[name]) for row in rows] for name in names}


def _number(text: str | None) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):  # CSVLogger writes NA for what is missing
        return float("nan")
