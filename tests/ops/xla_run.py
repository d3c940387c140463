"""Pools with XLA, in a process of its own: XLA keeps what it compiles, over a GB here; run by the tests.

python -m tests.ops.xla_run OUT

Writes arrays to OUT: "NAME xla NUMBER" for each of `CASES`, which are its pooled features and then the gradients of
the maps, and "NAME plain NUMBER", the same without XLA.
"""

import functools
import sys

import numpy as np
import tensorflow as tf

from mrcnn_keras import ops

from .oracle import make_pyramid

# Operation, and its options.
CASES = {
    "RoIAlign": (ops.multilevel_roi_align, {}),
    "RoIAlign, largest": (ops.multilevel_roi_align, {"reduce": "max"}),
    "RoIPool": (ops.multilevel_roi_pool, {}),
    "RoIWarp": (ops.multilevel_roi_warp, {}),
}


def main(out):
    """Writes one file."""
    p, found = make_pyramid(), {}
    maps = [tf.constant(m) for m in p.maps]
    for name, (pool, options) in CASES.items():

        def values_and_gradients(*maps, pool=pool, options=options):
            with tf.GradientTape() as tape:
                tape.watch(maps)
                rois = p.boxes, p.image_index, p.level
                pooled = pool(maps, *rois, scales=p.scales, output_size=(3, 2), **options)
            return pooled, *tape.gradient(pooled, maps, p.upstream(pooled.shape))

        compiled = tf.function(values_and_gradients, jit_compile=True)
        for kind, function in {"xla": compiled, "plain": values_and_gradients}.items():
            found |= {f"{name} {kind} {number}": value for number, value in enumerate(function(*maps))}
    arguments = {"boxes": p.boxes, "image_index": p.image_index, "level": p.level, "scales": p.scales}
    cropped = functools.partial(ops.multilevel_roi_align, **arguments, implementation="cropped")
    found["cropped xla 0"] = tf.function(cropped, jit_compile=True)(maps)
    found["cropped plain 0"] = cropped(maps)
    np.savez(out, **{name: np.asarray(value) for name, value in found.items()})


if __name__ == "__main__":
    main(sys.argv[1])
