"""Learning-rate schedules."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("mrcnn_keras")
class WarmupSteps(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, as Detectron2 has it, to the full rate, which drops tenfold at given steps (section 3.1).

    Args:
        learning_rate: the full rate.
        warmup_steps: steps of the linear rise from a thousandth of the full rate.
        drops: steps at which the rate is multiplied by `factor`.
        factor: of each drop.
    """

    def __init__(self, learning_rate=0.02, warmup_steps=1000, drops=(120_000,), factor=0.1):
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.drops = tuple(drops)
        self.factor = factor

    def __call__(self, step):
        step = tf.cast(step, tf.float32)
        risen = tf.minimum(step / max(self.warmup_steps, 1), 1.0) if self.warmup_steps else 1.0
        rate = self.learning_rate * (0.001 + 0.999 * risen)
        passed = tf.add_n([tf.cast(step >= drop, tf.float32) for drop in self.drops]) if self.drops else 0.0
        return rate * tf.pow(tf.cast(self.factor, tf.float32), passed)

    def get_config(self):
        return {name: getattr(self, name) for name in ("learning_rate", "warmup_steps", "drops", "factor")}


def paper_schedule(
    images_per_step: int,
    total_steps: int,
    learning_rate: float = 0.02,
    warmup_steps: int = 1000,
    drops: tuple[float, ...] = (0.75,),
) -> WarmupSteps:
    """The paper's schedule for a run of any batch size and length (section 3.1), after Detectron2's warm-up.

    Args:
        images_per_step: images a step, all replicas together; the rate scales with it.
        total_steps: length of the run; 160,000 in the paper.
        learning_rate: for 16 images a step.
        warmup_steps: at most a tenth of the run is used.
        drops: fractions of the run at which the rate is divided by 10.
    """
    rate = learning_rate * images_per_step / 16.0
    at = [max(1, round(total_steps * fraction)) for fraction in drops]
    return WarmupSteps(rate, min(warmup_steps, total_steps // 10), at)
