"""The curves of a training."""

import pathlib
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mrcnn_keras.visualize.figures import new_figure, save_figure


def plot_history(history: Any, path: str | pathlib.Path | None = None) -> Figure:
    """Draw the curves of a training: losses, average precision, learning rate; dashed lines are validation losses.

    Args:
        history: what `model.fit` returns, or its `.history`: lists of one number an epoch.
        path: the file to write, or None.

    Returns:
        The figure.

    Raises:
        ValueError: there is no curve in it.
    """
    curves = {name: np.asarray(values, float) for name, values in getattr(history, "history", history).items()}
    panels = {
        "loss": [n for n in curves if "loss" in n],
        "average precision": [n for n in curves if "AP" in n],
        "learning rate": [n for n in curves if n in ("learning_rate", "lr")],
    }
    panels = {title: names for title, names in panels.items() if names}
    if not panels:
        raise ValueError(f"no losses, AP or learning rate among the curves {sorted(curves)}")
    figure = new_figure(620 * len(panels), 460)
    figure.set_layout_engine("constrained")
    for ax, (title, names) in zip(np.ravel(figure.subplots(1, len(panels))), panels.items()):
        _draw_curves(ax, title, {name: curves[name] for name in names})
    if path is not None:
        save_figure(figure, path)
    return figure


def _draw_curves(ax: Axes, title: str, curves: dict[str, np.ndarray]) -> None:
    names = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    for name, values in curves.items():
        color = f"C{names.index(name.removeprefix('val_')) % 10}"
        epochs = np.arange(1, len(values) + 1)
        known = np.isfinite(values)  # AP may be computed every few epochs only
        validation = title == "loss" and name.startswith("val_")
        label = name if title == "loss" else name.removeprefix("val_").replace("_", " ")
        ax.plot(epochs[known], values[known], color=color, linestyle="--" if validation else "-", label=label,
                linewidth=1.8, marker="o", markersize=3 if known.sum() < 30 else 0)  # fmt: skip
    ax.set(title=title, xlabel="epoch")
    ax.set_ylim(bottom=0, top=1 if title == "average precision" else None)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8, handlelength=3)
