"""Runs the compiled operations with the instructions that MRCNN_KERAS_CPU names; run by the tests.

python -m tests.ops.instruction_sets_run OUT THREADS

Writes arrays to OUT, outputs and then gradients: "conv3x3 NUMBER", and "RoIAlign DTYPE REDUCE NUMBER".
"""

import sys

import numpy as np
import tensorflow as tf

from mrcnn_keras import ops


def main(out, threads):
    """Writes one file."""
    tf.config.threading.set_intra_op_parallelism_threads(int(threads))
    found = conv3x3(np.random.default_rng(0))
    rng = np.random.default_rng(0)
    for dtype in (tf.float32, tf.bfloat16, tf.float16):
        for reduce in ("average", "max"):
            found |= roi_align(rng, dtype, reduce)
    np.savez(out, **found)


def conv3x3(rng):
    """Arrays by name."""
    tensors = [tf.constant(rng.normal(size=s).astype("f4")) for s in ((2, 21, 18, 32), (3, 3, 32, 48), (48,))]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = ops.conv3x3(*tensors, implementation="compiled")
    gradients = tape.gradient(outputs, tensors, tf.sin(outputs))
    return {f"conv3x3 {i}": t.numpy() for i, t in enumerate([outputs, *gradients])}


def roi_align(rng, dtype, reduce):
    """Arrays by name."""
    maps = [tf.cast(rng.normal(size=(2, side, side, 83)), dtype) for side in (24, 12)]
    corner = rng.uniform(-4, 80, (60, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 50, (60, 2))], 1).astype(np.float32)
    options = {"scales": [0.25, 0.125], "reduce": reduce, "implementation": "compiled"}
    with tf.GradientTape() as tape:
        tape.watch(maps)
        pooled = ops.multilevel_roi_align(maps, boxes, rng.integers(0, 2, 60), rng.integers(0, 2, 60), **options)
    gradients = tape.gradient(pooled, maps, tf.cast(rng.normal(size=pooled.shape), dtype))
    name = f"RoIAlign {dtype.name} {reduce}"
    return {f"{name} {i}": tf.cast(t, tf.float32).numpy() for i, t in enumerate([pooled, *gradients])}


if __name__ == "__main__":
    main(*sys.argv[1:])
