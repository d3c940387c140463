"""What the replicas of a training step have to agree on, so that they make the step that one device would make."""

import tensorflow as tf


def shared_step() -> tf.distribute.ReplicaContext | None:
    """The context of a step that this replica shares with others; None where it is alone."""
    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None


def first_image(count: tf.Tensor | int) -> tf.Tensor | int:
    """Place in the whole batch of this replica's first image.

    Args:
        count: images on each replica.
    """
    context = shared_step()
    return 0 if context is None else context.replica_id_in_sync_group * count


def divide(total: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """A replica's sum over the mean count of all replicas: the mean of the results is the whole batch's mean.

    Args:
        total: () float32, this replica's sum.
        count: () float32, how many it is the sum of; no gradient flows into it.

    Returns:
        () float32, 0 where no replica counts anything.
    """
    context = shared_step()
    if context is not None:
        count = context.all_reduce(tf.distribute.ReduceOp.MEAN, count)
    return tf.math.divide_no_nan(total, count)
