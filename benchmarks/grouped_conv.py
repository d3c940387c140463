"""A training step's grouped 3x3 convolution on a CPU: this package's, and one convolution for each group.

python benchmarks/grouped_conv.py [--threads N] [--rounds N]

TensorFlow's CPU kernels compute grouped convolutions but not their gradients; without `layers.grouped_conv` the groups
have to be convolved one by one. The layers are those of ResNeXt-101-32x8d on an 800 x 1344 image. The contestants take
turns; medians in ms of values and both gradients, and the part of the speed of a dense convolution of the same number
of multiplications.
"""

import argparse
import statistics
import time

import tensorflow as tf

from mrcnn_keras.layers.grouped_conv import grouped_conv2d

GROUPS = 32
LAYERS = {"res2": (200, 336, 256), "res3": (100, 168, 512), "res4": (50, 84, 1024), "res5": (25, 42, 2048)}


def one_by_one(inputs, kernel):
    """A convolution for each group."""
    pairs = zip(tf.split(inputs, GROUPS, axis=3), tf.split(kernel, GROUPS, axis=3), strict=True)
    return tf.concat([tf.nn.conv2d(part, own, 1, "SAME") for part, own in pairs], axis=3)


def with_gradients(convolve):
    """A function of inputs and kernel that returns the values and both gradients."""

    @tf.function(autograph=False)
    def run(inputs, kernel):
        with tf.GradientTape() as tape:
            tape.watch([inputs, kernel])
            outputs = convolve(inputs, kernel)
        return outputs, tape.gradient(outputs, [inputs, kernel], tf.ones_like(outputs))

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    print(f"{'layer':6}{'grouped':>10}{'one by one':>12}{'dense, same work':>18}")
    for name, (height, width, channels) in LAYERS.items():
        inputs = tf.random.normal((1, height, width, channels))
        kernel = tf.random.normal((3, 3, channels // GROUPS, channels))
        # As many multiplications in a dense convolution: fewer channels in the ratio of the square root.
        narrow = round(channels / GROUPS**0.5)
        dense = tf.random.normal((1, height, width, narrow)), tf.random.normal((3, 3, narrow, narrow))
        contestants = {
            "grouped": (with_gradients(lambda x, k: grouped_conv2d(x, k, pad=1)), (inputs, kernel)),
            "one by one": (with_gradients(one_by_one), (inputs, kernel)),
            "dense": (with_gradients(lambda x, k: tf.nn.conv2d(x, k, 1, "SAME")), dense),
        }
        times = {key: [] for key in contestants}
        for round_number in range(args.rounds + 1):
            for key, (run, arguments) in contestants.items():
                start = time.perf_counter()
                tf.nest.map_structure(lambda t: t.numpy(), run(*arguments))
                if round_number:
                    times[key].append(1000 * (time.perf_counter() - start))
        ours, parts, whole = (statistics.median(times[key]) for key in contestants)
        print(f"{name:6}{ours:10.1f}{parts:8.1f} ({parts / ours:.1f}x){whole:10.1f} ({whole / ours:.2f}x)")


if __name__ == "__main__":
    main()
