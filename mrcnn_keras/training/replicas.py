"""Steps on several replicas, of one machine or of many."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ..layers.replicas import shared_step


def over_replicas(means: dict[str, tf.Tensor], count: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """The means over all replicas of what each has a mean of, and the number of terms.

    Args:
        means: () float32 each, of one replica.
        count: () float32, terms of this replica, may be 0.
    """
    context = shared_step()
    if context is None:
        return means, count
    sums = [tf.math.multiply_no_nan(value, count) for value in means.values()]
    *sums, count = context.all_reduce(tf.distribute.ReduceOp.SUM, [*sums, count])
    return {name: tf.math.divide_no_nan(value, count) for name, value in zip(means, sums, strict=True)}, count


def spans_workers(strategy: tf.distribute.Strategy) -> bool:
    """Whether replicas of the strategy live in other processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def run_on_batches(
    strategy: tf.distribute.Strategy, step: Callable[[Any], dict[str, tf.Tensor]], every_shape: bool = False
) -> Callable:
    """A function of an iterator of batches that runs a step on each replica and returns the first one's results.

    Args:
        strategy: the replicas' own, whose iterator it is.
        step: from a batch to values that are the same on every replica.
        every_shape: trace the step for every shape of batches, and not for shapes that may vary.
    """

    @tf.function(reduce_retracing=not every_shape, autograph=False)
    def run(batch):
        results = strategy.run(step, args=(batch,))
        return tf.nest.map_structure(lambda value: strategy.experimental_local_results(value)[0], results)

    return lambda iterator: run(next(iterator))


class WorkerLostError(RuntimeError):
    """Another worker of the training has gone in the middle of it."""


def lost_worker(error: tf.errors.OpError) -> WorkerLostError | None:
    """The error that stands for TensorFlow's about another process that does not answer; None for other errors."""
    kinds = "UnavailableError", "AbortedError", "CancelledError", "DeadlineExceededError"
    if type(error).__name__ not in kinds:
        return None
    return WorkerLostError(
        "another worker of this training has ended or does not answer: its own messages say why. Start all workers "
        "again; with training.Checkpoints they go on from the newest state"
    )


def same_on_all_workers(strategy: tf.distribute.Strategy, value: int, message: str) -> None:
    """Compare a number with that of the other processes of a strategy.

    Raises:
        ValueError: it is another one there, with `message`.
    """
    found = _mean(strategy, value)
    if found != value:
        raise ValueError(f"{message} (this one's {value}, the mean {found:g})")


def any_worker(strategy: tf.distribute.Strategy, value: bool) -> bool:
    """Whether a value is True in any process of a strategy; all of them must ask."""
    return _mean(strategy, value) > 0


def _mean(strategy: tf.distribute.Strategy, value: float) -> float:
    """The mean of a number over the processes of a strategy."""
    if not spans_workers(strategy):
        return value
    return float(_make_mean(strategy)(tf.constant(float(value), tf.float64)))


@functools.lru_cache(maxsize=1)
def _make_mean(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], tf.Tensor]:
    @tf.function(autograph=False)
    def mean(value):
        def on_replica():
            own = tf.identity(value)  # made on the replica's device; an argument of the function is on none
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, own)

        return strategy.experimental_local_results(strategy.run(on_replica))[0]

    return mean
