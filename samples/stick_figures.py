"""Stick figures with 13 keypoints, drawn on the spot: keypoints (section 5) from random weights, no files needed.

python samples/stick_figures.py train    --out runs/stick_figures
python samples/stick_figures.py evaluate --model runs/stick_figures/last.keras
python samples/stick_figures.py detect   --model runs/stick_figures/last.keras --out runs/stick_figures/found

With --preset keypoint_mask_rcnn_narrow_fpn the same model gives masks too.
"""

import sys

from _drawn import Drawn

from mrcnn_keras import demo
from mrcnn_keras.data import StickFiguresDataset

STICK_FIGURES = Drawn("stick_figures", StickFiguresDataset, "keypoint_rcnn_narrow_fpn", 2000, demo.SETTINGS)


def main(argv=None) -> int:
    return STICK_FIGURES.main(__doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
