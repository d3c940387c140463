"""RoIAlign: the compiled operation and the fallback against tf.image.crop_and_resize, alternating in one run.

1000 boxes of mixed size on one 200 x 336 x 256 map (stride 4 of an 800 x 1344 image), forward, and forward with the
gradient of the map. crop_and_resize samples the same points (two on a side of each bin) and is averaged 2 x 2.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from comparison.machine import processor
from comparison.work import make_boxes
from peers.crop_and_resize import pooled as crop_and_resize

from mrcnn_keras import ops

IMAGE = (800, 1344)
STRIDES = (4, 8, 16, 32)
CROP = "crop_and_resize"


def make_cases(boxes: np.ndarray):
    """(title, maps, {contestant: function of the maps}) of each row of the table."""
    rng = np.random.default_rng(1)
    shapes = [(1, IMAGE[0] // stride, IMAGE[1] // stride, 256) for stride in STRIDES]
    maps = [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]
    sides = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    level = np.clip(np.floor(4 + np.log2(sides / 224)), 2, 5).astype(np.int32) - 2
    zeros = np.zeros(len(boxes), np.int32)

    def ours(implementation, size, ratio, levels):
        options = {"output_size": size, "sampling_ratio": ratio, "implementation": implementation}
        scales = [1 / stride for stride in STRIDES]
        return lambda *maps: ops.multilevel_roi_align(maps, boxes, zeros, levels, scales=scales[: len(maps)], **options)

    for size in (7, 14):
        for ratio, samples in ((2, "2x2 samples"), (0, "adaptive")):
            contestants = {name: ours(name, size, ratio, zeros) for name in ("compiled", "tensorflow")}
            if ratio == 2:
                contestants[CROP] = lambda features, size=size: crop_and_resize(features, boxes, 1 / STRIDES[0], size)
            yield f"one map, {size}x{size}, {samples}", maps[:1], contestants
    for size in (7, 14):
        contestants = {name: ours(name, size, 0, level) for name in ("compiled", "tensorflow")}
        yield f"four levels, {size}x{size}, adaptive", maps, contestants


def with_gradient(function):
    """A function of the maps that returns the gradients, for an upstream gradient equal to the values."""

    def run(*maps):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            pooled = function(*maps)
        return tape.gradient(pooled, maps, pooled)

    return run


def measure(contestants: dict, maps, repeats: int) -> dict:
    """Median milliseconds of each contestant, taking turns."""
    functions = {name: tf.function(function) for name, function in contestants.items()}
    times = {name: [] for name in functions}
    for turn in range(repeats + 2):
        for name, function in functions.items():
            start = time.perf_counter()
            tf.nest.map_structure(lambda t: t[:1, :1, :1].numpy(), function(*maps))  # waits for a GPU
            if turn >= 2:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def check_same(contestants: dict, maps) -> float:
    """Largest difference of any contestant from the first."""
    first, *others = [function(*maps).numpy() for function in contestants.values()]
    return max(float(np.abs(first - other).max()) for other in others)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="TensorFlow's threads (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=11, help="timed turns of each contestant (default %(default)s)")
    parser.add_argument("--boxes", type=int, default=1000, help="number of boxes (default %(default)s)")
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    compiled = ops.status().library if ops.status().built_for else None
    print(f"{processor()}, {os.cpu_count()} cores, {args.threads} threads, TensorFlow {tf.__version__}")
    print(f"{ops.status()}; {args.boxes} boxes, medians of {args.repeats} in ms; x: times the compiled operation")
    print("\n| case | pass | compiled | fallback | crop_and_resize | largest difference |\n|---|---|---|---|---|---|")
    for title, maps, contestants in make_cases(make_boxes(args.boxes)):
        if compiled is None:
            del contestants["compiled"]
        difference = check_same(contestants, maps) if len(contestants) > 1 else 0.0
        for name, wrap in (("forward", lambda f: f), ("forward + gradient", with_gradient)):
            found = measure({key: wrap(f) for key, f in contestants.items()}, maps, args.repeats)
            cells = [found.get(key) for key in ("compiled", "tensorflow", CROP)]
            reference = cells[0]
            texts = ["-" if c is None else f"{c:.1f}" for c in cells]
            if reference:
                texts[1:] = [t if c is None else f"{t} ({c / reference:.1f}x)" for t, c in zip(texts[1:], cells[1:])]
            print(f"| {title} | {name} | {' | '.join(texts)} | {difference:.0e} |", flush=True)


if __name__ == "__main__":
    main()
