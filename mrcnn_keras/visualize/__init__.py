"""Pictures: detections on their image, galleries of them, and training curves.

Everything is drawn with matplotlib's object interface: no pyplot, no window, no global state.
"""

from mrcnn_keras.visualize.detections import (
    draw_detections,
    plot_detections,
    render_detections,
    save_detections,
)
from mrcnn_keras.visualize.figures import DPI, PALETTE, Picture
from mrcnn_keras.visualize.grid import draw_grid
from mrcnn_keras.visualize.history import plot_history

__all__ = [
    "DPI",
    "PALETTE",
    "Picture",
    "draw_detections",
    "draw_grid",
    "plot_detections",
    "plot_history",
    "render_detections",
    "save_detections",
]
