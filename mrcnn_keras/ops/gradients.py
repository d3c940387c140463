"""Custom gradients that are freed together with the graph in which they were traced.

In a graph `tf.custom_gradient` and `tf.recompute_grad` enter a closure under a new name into TensorFlow's registry of
gradients, which lasts as long as the process. The closure holds the graph and every weight that the graph has captured.
Here one name is registered for all gradients, and each graph keeps the closures of its own operations.
"""

from collections.abc import Callable

import tensorflow as tf

_NAME = "MrcnnKerasGradient"


def call_with_gradient(function: Callable, *inputs: tf.Tensor) -> tf.Tensor:
    """Call a function that defines its own gradient.

    Args:
        function: takes `inputs`; returns one tensor, and a function from the gradient of that tensor to the list of the
            gradients of `inputs`. It reads no variables.
        *inputs: tensors.

    Returns: the tensor that `function` returns.
    """
    if tf.executing_eagerly():
        return tf.custom_gradient(function)(*inputs)

    def traced(*inputs):
        output, gradient = function(*inputs)
        return _attach(output, inputs, gradient)

    # A tape in the calling graph records one call, whose gradient is then built symbolically, by the registered name.
    return tf.function(traced, autograph=False)(*inputs)


def call_and_recompute(function: Callable[[tf.Tensor], tf.Tensor], inputs: tf.Tensor) -> tf.Tensor:
    """Call a function so that its gradient needs `inputs` only and computes everything else again.

    It saves memory and costs a second pass (Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016).

    Args:
        function: takes and returns one floating-point tensor; may read variables, whose gradients flow as usual.
        inputs: tensor.

    Returns: `function(inputs)`.
    """
    if tf.executing_eagerly():
        return tf.recompute_grad(function)(inputs)

    def traced(inputs):
        with tf.GradientTape() as tape:
            output = function(inputs)
        variables = tape.watched_variables()

        def gradient(upstream):
            with tf.GradientTape() as tape:
                # XLA would otherwise share the two computations, and TensorFlow run the second one early.
                again = inputs + tf.cast(0.0 * tf.reduce_sum(tf.reshape(upstream, [-1])[:1]), inputs.dtype)
                tape.watch(again)
                output = function(again)
            return tape.gradient(output, [again, *variables], upstream, tf.UnconnectedGradients.ZERO)

        return _attach(output, [inputs, *map(tf.convert_to_tensor, variables)], gradient)

    return tf.function(traced, autograph=False)(inputs)


def _attach(output: tf.Tensor, inputs, gradient: Callable) -> tf.Tensor:
    """`output`, whose gradient with respect to `inputs` is computed by `gradient` alone."""
    graph = tf.compat.v1.get_default_graph()
    with graph.gradient_override_map({"IdentityN": _NAME}):
        output, *_ = tf.identity_n([output, *inputs])
    graph.add_to_collection(_NAME, (output.op.name, gradient))
    return output


@tf.RegisterGradient(_NAME)
def _gradient(operation: tf.Operation | None, upstream: tf.Tensor, *_: tf.Tensor) -> list:
    if operation is None:  # TensorFlow is writing the gradients of a SavedModel
        raise NotImplementedError(
            "the gradients of this graph cannot be saved; give tf.saved_model.save "
            "options=tf.saved_model.SaveOptions(experimental_custom_gradients=False)"
        )
    gradients = dict(operation.graph.get_collection(_NAME))
    return [None, *gradients[operation.name](upstream)]
