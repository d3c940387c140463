"""RoIAlign in TensorFlow as cases to be measured."""

from collections.abc import Callable

from comparison import work


def tensorflow_cases(functions: dict[tuple[int, int], Callable], dtype: str = "float32") -> dict[str, Callable]:
    """Two cases, forward and backward, of each function.

    Args:
        functions: (size, sampling) -> function of the map (1, H, W, C) that returns (R, size, size, C).
        dtype: of the map.
    """
    import tensorflow as tf

    features, cases = tf.cast(work.feature_map(), dtype), {}
    for (size, sampling), function in functions.items():
        given = tf.cast(work.upstream(size), features.dtype)
        forward, backward = tf.function(function), _gradient(function)
        cases[work.align_case(size, sampling, "forward")] = lambda f=forward: f(features)
        cases[work.align_case(size, sampling, "backward")] = lambda f=backward, g=given: f(features, g)
    return cases


def _gradient(function):
    """The gradient of the map alone: what of the forward pass it does not need, TensorFlow leaves out."""
    import tensorflow as tf

    @tf.function
    def gradient(features, given):
        with tf.GradientTape() as tape:
            tape.watch(features)
            pooled = function(features)
        return tape.gradient(pooled, features, given)

    return gradient
