"""Shapes: circles, squares and triangles drawn on the spot, no files needed.

python samples/shapes.py train    --out runs/shapes
python samples/shapes.py evaluate --model runs/shapes/last.keras
python samples/shapes.py detect   --model runs/shapes/last.keras --out runs/shapes/found
"""

import sys

from _drawn import Drawn

from mrcnn_keras import demo
from mrcnn_keras.data import ShapesDataset

# Three times the demo's training, on its settings.
SHAPES = Drawn("shapes", ShapesDataset, demo.PRESET, 3 * demo.STEPS, demo.SETTINGS)


def main(argv=None) -> int:
    return SHAPES.main(__doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
