"""Gradients of a step that several replicas share."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from ..layers.replicas import shared_step


def clip_whole_batch(optimizer: Any, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """Each replica's gradients such that their sum is the whole batch's, clipped as the optimizer says.

    Keras clips what each replica gives before it sums up; eight small gradients are then left alone where their sum
    would not be. Without clipping, and on one replica, nothing is done here.

    Args:
        optimizer: a Keras optimizer.
        gradients: of this replica's part of the loss.
    """
    context = shared_step()
    clips = getattr(optimizer, "inner_optimizer", optimizer)
    if context is None or not (clips.clipnorm or clips.clipvalue or clips.global_clipnorm):
        return gradients
    # A loss scale multiplies the gradients; `scale_loss` says by how much at present.
    scale = optimizer.scale_loss(tf.constant(1.0))
    summed = [gradient / scale for gradient in context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)]
    # The optimizer clips each part again, to no effect: no part is larger than the whole.
    return [gradient * scale / context.num_replicas_in_sync for gradient in _clipped(clips, summed)]


@contextlib.contextmanager
def summed_if_shared(optimizer: Any) -> Iterator[None]:
    """While inside, a replica that is alone applies its gradients as they are.

    Keras asks TensorFlow to sum them up over the replicas even then, and TensorFlow never frees a graph in which it
    did that.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if shared_step() is not None:
        yield
        return
    inner._all_reduce_sum_gradients = list
    try:
        yield
    finally:
        del inner._all_reduce_sum_gradients


def _clipped(optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    if optimizer.global_clipnorm:
        return tf.clip_by_global_norm(gradients, optimizer.global_clipnorm)[0]
    if optimizer.clipnorm:
        return [tf.clip_by_norm(gradient, optimizer.clipnorm) for gradient in gradients]
    return [tf.clip_by_value(gradient, -optimizer.clipvalue, optimizer.clipvalue) for gradient in gradients]
