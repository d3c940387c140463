"""A picture of 12,000 x 9,000 pixels with shapes planted all over it, searched in tiles by the demo's model.

mrcnn-keras demo --steps 1600 --out demo
python benchmarks/tiling.py --model demo/model.keras [--size H W] [--tile N] [--overlap N]

Counts how many of the planted objects were found once, more than once or not at all (same class, IoU 0.5, scores from
--min-score on), how many other detections lie on a planted object, of another class or less exact, and how many where
nothing is; then time and peak memory.
"""

import argparse
import resource
import time

import numpy as np
from PIL import Image

from mrcnn_keras.commands import options
from mrcnn_keras.commands.models import load_model
from mrcnn_keras.data import ShapesDataset, rle
from mrcnn_keras.inference import Tiles

SPACING = 250  # pixels between the middles of planted objects, about


def plant(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The picture, the boxes (N, 4) of its objects and their classes (N,)."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 140, (size[0] // 60, size[1] // 60, 3), np.uint8)
    picture = np.array(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))
    places = [(y, x) for y in range(60, size[0] - 190, SPACING) for x in range(60, size[1] - 190, SPACING)]
    shapes = ShapesDataset(len(places), seed=9, max_objects=1)
    boxes, classes = [], []
    for index, place in enumerate(places):
        top, left = place + rng.integers(-60, 60, 2)
        found = shapes.load_annotations(index)
        mask = rle.columns(found.masks[0], 0, shapes.size[1]).T.astype(bool)
        picture[top : top + 128, left : left + 128][mask] = shapes.load_image(index)[mask]
        boxes.append(found.boxes[0] + [left, top, left, top])
        classes.append(found.class_ids[0])
    return picture, np.array(boxes, np.float32), np.array(classes)


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """IoU (N, M) of boxes."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    return both / (areas[0][:, None] + areas[1] - both)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=options.model, required=True)
    parser.add_argument("--size", type=int, nargs=2, default=(9000, 12000), metavar=("H", "W"))
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--overlap", type=int, default=64)
    parser.add_argument("--min-score", type=options.fraction, default=0.5)
    args = parser.parse_args()
    model = load_model(args.model, {"image_min_side": args.tile, "image_max_side": args.tile})
    picture, boxes, classes = plant(tuple(args.size))
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    found = model.detect(picture, tiles=Tiles(args.tile, args.overlap), masks="rle")[0]
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = found[found.scores >= args.min_score]
    overlap = overlaps(found.boxes, boxes)
    same = (overlap >= 0.5) & (found.class_ids[:, None] == classes)
    times, others = same.sum(axis=0), ~same.any(axis=1)
    elsewhere = others & ~(overlap > 0.1).any(axis=1)
    print(f"{len(boxes)} planted: {(times == 1).sum()} found once, {(times > 1).sum()} more often, "
          f"{(times == 0).sum()} not; {(others & ~elsewhere).sum()} other detections on them, {elsewhere.sum()} "
          "where nothing is")  # fmt: skip
    print(f"{seconds:.0f} s; peak memory {after / 2**20:.1f} GiB, {before / 2**20:.1f} before")


if __name__ == "__main__":
    main()
