"""One function on several batches at the same time, one batch on each device of a strategy."""

from collections.abc import Callable, Sequence

import tensorflow as tf


def local_replicas(strategy: tf.distribute.Strategy) -> int:
    """Devices of this process that a model made under the strategy has its weights on; 1 or more."""
    mirrored = tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy
    return len(strategy.extended.worker_devices) if isinstance(strategy, mirrored) else 1


class ReplicaFunction:
    """Runs a function of a batch on as many of the local replicas as there are batches; other processes are not asked.

    Args:
        function: from tensors, the first dimension of each the images, to tensors by name; made of the model's layers.
        signature: `tf.TensorSpec` of each argument.
        strategy: that the model was made under.
    """

    def __init__(
        self,
        function: Callable[..., dict[str, tf.Tensor]],
        signature: Sequence[tf.TensorSpec],
        strategy: tf.distribute.Strategy,
    ):
        self.replicas = local_replicas(strategy)
        self._alone = tf.function(function, input_signature=list(signature), autograph=False)
        self._together = _on_each(function, list(signature), strategy, self.replicas)

    def __call__(self, batches: Sequence[Sequence]) -> list[dict[str, tf.Tensor]]:
        """The function's results for each batch.

        Args:
            batches: 1 to `replicas` of them, each with the function's arguments, of any sizes but not empty.
        """
        if len(batches) == 1:
            return [self._alone(*batches[0])]
        # Devices without a batch get an image all the same: not all layers take none.
        idle = [[argument[:1] for argument in batches[-1]]] * (self.replicas - len(batches))
        return self._together(*(argument for batch in [*batches, *idle] for argument in batch))[: len(batches)]


def _on_each(function, signature, strategy, replicas):
    @tf.function(input_signature=signature * replicas, autograph=False)
    def together(*tensors):
        width = len(signature)
        batches = [tensors[start : start + width] for start in range(0, len(tensors), width)]
        # Counted over all processes, each of which has as many replicas.
        shared_out = strategy.experimental_distribute_values_from_function(
            lambda context: batches[context.replica_id_in_sync_group % replicas]
        )
        results = strategy.run(function, args=shared_out)
        local = {name: strategy.experimental_local_results(value) for name, value in results.items()}
        return [{name: values[number] for name, values in local.items()} for number in range(replicas)]

    return together
