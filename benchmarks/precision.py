"""Step time of training in float32 and in mixed bfloat16, and with XLA if wanted.

python benchmarks/precision.py [--preset NAME] [--size 128 128] [--images 8] [--objects 4] [--rounds 9] [--xla]

One batch of random photos and objects, random weights; the contestants take turns; medians.
"""

import argparse
import itertools
import statistics
import time

import keras
import numpy as np
import tensorflow as tf

from mrcnn_keras import MaskRCNN

POLICIES = ("float32", "mixed_bfloat16")
MASK_SIDE = 56


def make_batch(images: int, height: int, width: int, objects: int) -> dict[str, np.ndarray]:
    """Photos of noise with boxes of all sizes whose masks are discs."""
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.7, (images, objects, 2)) * (width, height)
    high = np.minimum(low + rng.uniform(0.1, 0.5, (images, objects, 2)) * (width, height), (width, height))
    y, x = np.mgrid[:MASK_SIDE, :MASK_SIDE] / (MASK_SIDE - 1) - 0.5
    disc = np.where(x**2 + y**2 < 0.25, 255, 0)
    return {
        "images": rng.integers(0, 255, (images, height, width, 3)).astype(np.uint8),
        "image_sizes": np.tile([[height, width]], (images, 1)).astype(np.float32),
        "gt_boxes": np.concatenate([low, high], axis=2).astype(np.float32),
        "gt_class_ids": rng.integers(0, 3, (images, objects)).astype(np.int32),
        "gt_masks": np.broadcast_to(disc, (images, objects, *disc.shape)).astype(np.uint8),
        "image_index": np.arange(images),
    }


def make_step(preset: str, policy: str, batch: dict[str, np.ndarray], xla: bool):
    """A function that makes one training step."""
    keras.config.set_dtype_policy(policy)
    height, width = batch["images"].shape[1:3]
    sides = {"image_min_side": min(height, width), "image_max_side": max(height, width), "gt_mask_size": MASK_SIDE}
    model = MaskRCNN.from_preset(preset, num_classes=3, **sides)
    model.compile(learning_rate=1e-4, jit_compile=xla)
    model.optimizer.build(model.trainable_variables)
    model.make_train_function()
    endless = itertools.repeat({name: tf.constant(value) for name, value in batch.items()})
    if not xla:
        endless = iter(tf.data.Dataset.from_tensors(batch).repeat())
    return lambda: float(model.train_function(endless)["loss"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="mask_rcnn_narrow_fpn")
    parser.add_argument("--size", type=int, nargs=2, default=(128, 128), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--objects", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--xla", action="store_true")
    args = parser.parse_args()
    batch = make_batch(args.images, *args.size, args.objects)
    kinds = {policy + ", XLA" * xla: (policy, xla) for xla in range(1 + args.xla) for policy in POLICIES}
    steps = {}
    for name, (policy, xla) in kinds.items():
        start = time.perf_counter()
        steps[name] = make_step(args.preset, policy, batch, bool(xla))
        print(f"{name:20} loss {steps[name]():.4f}, ready after {time.perf_counter() - start:.1f} s", flush=True)
    times = {name: [] for name in steps}
    for _ in range(args.rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    base = statistics.median(times[POLICIES[0]])
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:20} {1000 * median:8.0f} ms a step, {median / base:.2f} of float32's")


if __name__ == "__main__":
    main()
