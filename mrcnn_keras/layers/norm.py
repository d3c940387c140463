"""Batch normalisation that can be frozen, synchronised over replicas, and folded into a convolution."""

import keras
import tensorflow as tf

from .replicas import shared_step


@keras.saving.register_keras_serializable("mrcnn_keras")
class BatchNorm(keras.layers.Layer):
    """Batch normalisation over (B, H, W), with the statistics kept for inference.

    Keras' own layer normalises in several passes on the CPU; this one uses TensorFlow's fused kernel, and offers its
    scale and shift so that a convolution can absorb them.

    Args:
        frozen: nothing is trained and the stored statistics are always used (the paper's fine-tuning setting).
        synchronized: statistics are averaged over the replicas of a `tf.distribute` strategy.
        momentum: share of the old running statistics kept at each training step, in [0, 1].
        epsilon: added to the variance.
    """

    def __init__(self, frozen=False, synchronized=False, momentum=0.9, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.frozen = frozen
        self.synchronized = synchronized
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape):
        shape = (input_shape[-1],)
        trained = {"shape": shape, "trainable": not self.frozen}
        running = {"shape": shape, "trainable": False, "autocast": False}
        self.gamma = self.add_weight(name="gamma", initializer="ones", autocast=False, **trained)
        self.beta = self.add_weight(name="beta", initializer="zeros", autocast=False, **trained)
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **running)
        self.moving_variance = self.add_weight(name="moving_variance", initializer="ones", **running)
        self.built = True

    def uses_batch(self, training: bool | None) -> bool:
        """Whether the statistics come from the batch at hand; if not, `scale_and_shift` says it all."""
        return bool(training) and self.trainable and not self.frozen

    def scale_and_shift(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The (C,) float32 pair with which stored statistics act: ``x * scale + shift``."""
        stored = self.gamma, self.beta, self.moving_mean, self.moving_variance
        gamma, beta, mean, variance = map(tf.convert_to_tensor, stored)
        scale = gamma * tf.math.rsqrt(variance + self.epsilon)
        return scale, beta - mean * scale

    def call(self, inputs, training=None):
        if not self.uses_batch(training):
            scale, shift = self.scale_and_shift()
            return inputs * tf.cast(scale, inputs.dtype) + tf.cast(shift, inputs.dtype)
        if self.synchronized:
            outputs, mean, variance = self._normalise_over_replicas(inputs)
        else:
            outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
            )
        self._keep(self.moving_mean, mean)
        self._keep(self.moving_variance, variance)
        return outputs

    def _keep(self, running, value):
        # A step that overflowed is never applied to the weights, and must not spoil the statistics either.
        value = tf.where(tf.math.is_finite(value), value, running.value)
        running.assign(running * self.momentum + value * (1.0 - self.momentum))

    def _normalise_over_replicas(self, inputs):
        x = tf.cast(inputs, tf.float32)
        mean = tf.reduce_mean(x, axis=[0, 1, 2])
        square = tf.reduce_mean(tf.square(x), axis=[0, 1, 2])
        context = shared_step()
        if context is not None:
            mean, square = context.all_reduce(tf.distribute.ReduceOp.MEAN, [mean, square])
        variance = tf.nn.relu(square - tf.square(mean))
        scale = self.gamma * tf.math.rsqrt(variance + self.epsilon)
        outputs = x * scale + (self.beta - mean * scale)
        return tf.cast(outputs, inputs.dtype), mean, variance

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        own = {name: getattr(self, name) for name in ("frozen", "synchronized", "momentum", "epsilon")}
        return {**super().get_config(), **own}


def make_norm(kind: str, momentum: float, epsilon: float, groups: int, name: str = "norm") -> keras.layers.Layer | None:
    """The layer for one of "none", "frozen", "batch", "sync_batch", "group"; None for "none".

    Raises:
        ValueError: `kind` is none of these.
    """
    if kind == "none":
        return None
    if kind == "group":
        return keras.layers.GroupNormalization(groups=groups, epsilon=epsilon, name=name)
    if kind not in ("frozen", "batch", "sync_batch"):
        raise ValueError(f"norm={kind!r}: expected 'none', 'frozen', 'batch', 'sync_batch' or 'group'")
    return BatchNorm(
        frozen=kind == "frozen", synchronized=kind == "sync_batch", momentum=momentum, epsilon=epsilon, name=name
    )
