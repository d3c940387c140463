"""Pasting the masks of one photo: as bitmaps and as COCO run lengths, by both rules.

python benchmarks/paste.py [--masks N] [--huge N] [--rounds N]

Boxes like COCO's in a photo of 800 x 1333 pixels: sides of 32 to 400 pixels, and three that cover most of it. The
contestants take turns; wall and processor time in ms, medians, and the least wall time. The goal is 20 ms for 100.
"""

import argparse
import statistics
import time

import numpy as np

from mrcnn_keras.inference import paste_mask_rles, paste_masks

PHOTO = (800, 1333)
HUGE = [[0, 0, 1333, 800], [100, 50, 1200, 780], [300.5, 10.2, 1330.7, 760.9]]


def make_boxes(count: int, huge: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 4) boxes, the first few of them huge."""
    sides = np.exp(rng.uniform(np.log(32), np.log(400), (count, 2)))
    corners = rng.uniform(0, 1, (count, 2)) * (np.array(PHOTO[::-1]) - sides)
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    boxes[:huge] = np.array(HUGE)[:huge]
    return boxes


def make_masks(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 28, 28) probabilities, smooth blobs as a mask head draws them."""
    basis = np.cos(np.outer(np.linspace(0, np.pi, 28), np.arange(4)))
    return (1 / (1 + np.exp(-3 * basis @ rng.normal(size=(count, 4, 4)) @ basis.T))).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", type=int, default=100)
    parser.add_argument("--huge", type=int, default=len(HUGE), choices=range(len(HUGE) + 1))
    parser.add_argument("--rounds", type=int, default=21)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    boxes, probs = make_boxes(args.masks, args.huge, rng), make_masks(args.masks, rng)
    contestants = {
        (form, rule): lambda paste=paste, rule=rule: paste(probs, boxes, PHOTO, rule=rule)
        for form, paste in (("bitmaps", paste_masks), ("run lengths", paste_mask_rles))
        for rule in ("exact", "padded")
    }
    wall, cpu = ({name: [] for name in contestants} for _ in range(2))
    for _ in range(args.rounds):
        for name, run in contestants.items():
            start = time.perf_counter(), time.process_time()
            pasted = run()
            wall[name].append(time.perf_counter() - start[0])
            cpu[name].append(time.process_time() - start[1])
            del pasted  # before the next one's clock runs
    for name, seconds in wall.items():
        times = [1000 * one for one in (statistics.median(seconds), statistics.median(cpu[name]), min(seconds))]
        label = f"{args.masks} masks as {name[0]:11} ({name[1]})"
        print("{:34} wall {:5.1f} ms, processor {:5.1f} ms; least {:5.1f} ms".format(label, *times))


if __name__ == "__main__":
    main()
