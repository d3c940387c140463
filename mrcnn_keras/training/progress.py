"""A live progress bar for training that fits terminals of any width."""

import time
from typing import Any

import keras
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

_REFRESH_SECONDS = 0.1


class TrainingProgress(keras.callbacks.Callback):
    """Shows an epoch's steps, time left, every loss and the learning rate, and leaves a line for each epoch.

    Keras' own bar writes all metrics into one line; where the terminal is narrower than that, each step leaves a line
    behind. Use this with `fit(..., verbose=0, callbacks=[..., TrainingProgress()])`, last in the list so that its lines
    hold what the other callbacks have added.

    Args:
        console: `rich.console.Console` to print to; None: standard output.
    """

    def __init__(self, console: Console | None = None):
        super().__init__()
        self.console = console or Console(highlight=False)
        self._live: Live | None = None
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._started = time.monotonic()
        self._epoch = f"epoch {epoch + 1}/{self.params.get('epochs', '?')}"
        self._open(self._epoch, self.params.get("steps"))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._advance(batch, logs)
        if batch + 1 == self.params.get("steps"):
            self._close()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._close()
        self._open("validating", None)

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._advance(batch, logs)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._close()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._close()
        seconds = time.monotonic() - self._started
        self.console.print(f"[bold]{self._epoch}[/bold] {seconds:.0f} s  {format_logs(logs)}")

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._close()

    def _open(self, title: str, total: int | None) -> None:
        columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                   TextColumn("left"), TimeRemainingColumn())  # fmt: skip
        self._bar = Progress(*columns, console=self.console)
        self._task = self._bar.add_task(title, total=total)
        self._values = Text()
        # No thread, a visible cursor, and an empty line at the end: an error may leave `fit` without a word to us.
        lines = Group(self._bar, self._values, Text())
        self._live = Live(lines, console=self.console, transient=True, auto_refresh=False)
        self._live.start()
        self.console.show_cursor(True)
        self._refreshed = 0.0

    def _advance(self, batch: int, logs: dict[str, Any] | None) -> None:
        if self._live is not None:
            self._bar.update(self._task, completed=batch + 1)
            if time.monotonic() - self._refreshed > _REFRESH_SECONDS:
                self._values.plain = format_logs(logs)
                self._live.refresh()
                self._refreshed = time.monotonic()

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def format_logs(logs: dict[str, Any] | None) -> str:
    """Metrics as short words and numbers: the sum of the losses first, the learning rate last, no `nan`."""
    logs = {name: float(value) for name, value in (logs or {}).items()}
    order = ["loss", *(name for name in logs if name not in ("loss", "learning_rate")), "learning_rate"]
    shown = [(name, logs[name]) for name in order if logs.get(name) == logs.get(name, float("nan"))]
    return "  ".join(f"{_short(name)} {value:.3g}" for name, value in shown)


def _short(name: str) -> str:
    prefix, rest = ("val ", name[4:]) if name.startswith("val_") else ("", name)
    rest = rest if rest == "loss" else rest.removesuffix("_loss")
    return prefix + {"learning_rate": "rate"}.get(rest, rest).replace("_", " ")
