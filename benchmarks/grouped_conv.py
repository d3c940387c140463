"""A training step's grouped 3x3 convolution on a CPU: in groups one by one, in blocks of groups, and dense.

python benchmarks/grouped_conv.py [--threads N] [--rounds N]

TensorFlow's CPU kernels compute grouped convolutions but not their gradients. The layers are those of
ResNeXt-101-32x8d on an 800 x 1344 image; "blocks" are dense convolutions of 32 channels with kernels that are zero off
the diagonal, "dense" is one of as many multiplications. The contestants take turns; medians in ms of values and both
gradients.
"""

import argparse
import statistics
import time

import tensorflow as tf

from mrcnn_keras.layers.grouped_conv import grouped_conv2d

GROUPS = 32
BLOCK = 32
LAYERS = {"res2": (200, 336, 256), "res3": (100, 168, 512), "res4": (50, 84, 1024), "res5": (25, 42, 2048)}


def in_blocks(inputs, kernel):
    """Dense convolutions between blocks of groups that have `BLOCK` channels."""
    side, _, channels, filters = kernel.shape
    together = max(1, BLOCK // channels)
    blocks = GROUPS // together
    grouped = tf.reshape(kernel, [side, side, channels, blocks, together, filters // GROUPS])
    dense = tf.einsum("yxcbgf,hg->yxhcbgf", grouped, tf.eye(together))
    return grouped_conv2d(inputs, tf.reshape(dense, [side, side, together * channels, filters]))


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
    print(f"{'layer':6}{'one by one':>12}{'blocks':>16}{'dense':>16}")
    for name, (height, width, channels) in LAYERS.items():
        inputs = tf.random.normal((1, height, width, channels))
        kernel = tf.random.normal((3, 3, channels // GROUPS, channels))
        # As many multiplications in a dense convolution: fewer channels in the ratio of the square root.
        narrow = round(channels / GROUPS**0.5)
        dense = tf.random.normal((1, height, width, narrow)), tf.random.normal((3, 3, narrow, narrow))
        contestants = {
            "one by one": (with_gradients(grouped_conv2d), (inputs, kernel)),
            "blocks": (with_gradients(in_blocks), (inputs, kernel)),
            "dense": (with_gradients(lambda x, k: tf.nn.conv2d(x, k, 1, "SAME")), dense),
        }
        times = {key: [] for key in contestants}
        for round_number in range(args.rounds + 1):
            for key, (run, arguments) in contestants.items():
                start = time.perf_counter()
                tf.nest.map_structure(lambda t: t.numpy(), run(*arguments))
                if round_number:
                    times[key].append(1000 * (time.perf_counter() - start))
        ours, *others = (statistics.median(times[key]) for key in contestants)
        print(f"{name:6}{ours:12.1f}" + "".join(f"{other:9.1f} ({other / ours:.2f}x)" for other in others))


if __name__ == "__main__":
    main()
