"""Whether bfloat16 pays on this machine: the network's usual convolutions are timed in it and in float32."""

import statistics
import time

SHAPES = ((3, 56, 128), (1, 56, 256))  # side of the kernel, side of the map, channels
ROUNDS = 7
WORTHWHILE = 0.8


def precision_advice() -> str:
    """One line: the advice, and the time in bfloat16 over the time in float32."""
    ratio = _time("bfloat16") / _time("float32")
    if ratio <= WORTHWHILE:
        return f'advised, keras.config.set_dtype_policy("mixed_bfloat16"): {_times(ratio)}'
    return f"not advised: {_times(ratio)}"


def _times(ratio: float) -> str:
    return f"convolutions take {ratio:.2f} times as long as in float32"


def _time(dtype: str) -> float:
    """Seconds that the convolutions take, the median of some rounds."""
    import tensorflow as tf

    from mrcnn_keras.layers.conv_norm import ConvNorm

    layers = [ConvNorm(channels, kernel, relu=True, dtype=dtype) for kernel, _, channels in SHAPES]
    maps = [tf.ones((1, side, side, channels), dtype) for _, side, channels in SHAPES]
    run = tf.function(lambda: [tf.reduce_max(layer(x)) for layer, x in zip(layers, maps)], autograph=False)
    seconds = []
    for _ in range(ROUNDS + 1):  # the first one traces
        start = time.perf_counter()
        for result in run():
            result.numpy()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])
