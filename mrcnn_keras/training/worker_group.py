"""Messages among the processes of a training on several machines."""

import numpy as np
import tensorflow as tf

from .cluster import is_chief
from .replicas import lost_worker

_WORD = 8  # bytes; the collectives do not take single ones


class WorkerGroup:
    """The processes of a strategy, all of which call the same methods in the same order.

    Args:
        strategy: of several processes.

    Attributes:
        count: how many processes there are.
        index: the number of this one, 0..count-1.
        is_chief: whether this one writes the files and reports.
    """

    def __init__(self, strategy: tf.distribute.MultiWorkerMirroredStrategy):
        numbers = strategy.experimental_distribute_values_from_function(
            lambda context: context.replica_id_in_sync_group
        )
        local = strategy.experimental_local_results(numbers)
        self.count = strategy.num_replicas_in_sync // len(local)
        self.index = local[0] // len(local)
        self.is_chief = is_chief(strategy)
        self._gather = _gather_function(strategy, local[0])

    def gather(self, message: bytes) -> list[bytes]:
        """The messages of all processes, in their order; waits until all have called it.

        Args:
            message: of this process, of any length.

        Raises:
            WorkerLostError: another process has gone.
        """
        words = np.frombuffer(message + bytes(-len(message) % _WORD), np.int64)
        try:
            gathered = self._gather(np.concatenate([[len(message)], words])).numpy()
        except tf.errors.OpError as error:
            raise lost_worker(error) or error from None
        messages = []
        while len(gathered):
            length, end = int(gathered[0]), 1 + -(-int(gathered[0]) // _WORD)
            messages.append(gathered[1:end].tobytes()[:length])
            gathered = gathered[end:]
        return messages


def _gather_function(strategy, first):
    """From the words of this process to those of all, one after the other."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)], autograph=False)
    def gather(words):
        def on_replica():
            context = tf.distribute.get_replica_context()
            speaks = tf.equal(context.replica_id_in_sync_group, first)  # one for each process
            return context.all_gather(words[: tf.where(speaks, tf.size(words), 0)], axis=0)

        return strategy.experimental_local_results(strategy.run(on_replica))[0]

    return gather
