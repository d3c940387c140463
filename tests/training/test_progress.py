"""The progress bar: what it shows, and that it leaves one line an epoch."""

import io
import re

import keras
import numpy as np
import pytest
from rich.console import Console

from mrcnn_keras.training.progress import TrainingProgress, format_logs


def train(console, **options):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((8, 1), "float32")
    progress = TrainingProgress(console)
    model.fit(x, x, batch_size=2, epochs=3, verbose=0, callbacks=[progress], **options)
    return x


def screen(text):
    """The lines that remain on a terminal that is wide and high enough, after all cursor movements."""
    lines, row = [""], 0
    for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\r|\n)", text):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part == "\x1b[1A":
            row -= 1
        elif part and part[0] not in "\x1b\r":
            lines[row] += part
    return [line for line in lines if line.strip()]


@pytest.mark.parametrize("width", [40, 200])
def test_leaves_a_line_an_epoch_on_terminals_of_any_width(width):
    stream = io.StringIO()
    train(Console(file=stream, force_terminal=True, width=width))
    shown = stream.getvalue()
    assert "4/4" in shown and "left" in shown
    left = screen(shown)
    assert [line.split(" s ")[0].split()[:2] for line in left if "epoch" in line] == [
        ["epoch", f"{n}/3"] for n in (1, 2, 3)
    ]
    assert not any("left" in line for line in left)


def test_a_log_gets_the_epochs_lines_only():
    stream = io.StringIO()
    train(Console(file=stream, force_terminal=False, width=120), validation_data=(np.ones((4, 1)), np.ones((4, 1))))
    lines = [line for line in stream.getvalue().splitlines() if line.startswith("epoch")]
    assert [line.split()[1] for line in lines if "val loss" in line] == ["1/3", "2/3", "3/3"]


def test_training_that_fails_leaves_the_terminal_in_order():
    class Fail(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("stopped")

    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    progress = TrainingProgress(console)
    with pytest.raises(RuntimeError, match="stopped"):
        model.fit(np.ones((4, 1)), np.ones((4, 1)), batch_size=1, verbose=0, callbacks=[progress, Fail()])
    shown = stream.getvalue()
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is visible
    assert shown.endswith("\n")


def test_values_are_named_shortly():
    logs = {"box_loss": 0.25, "learning_rate": 0.01, "loss": 1.5, "val_loss": 2.0, "val_bbox_AP": float("nan")}
    assert format_logs(logs) == "loss 1.5  box 0.25  val loss 2  rate 0.01"
    assert format_logs(None) == ""
