"""Trains a small model on a number of replicas, alone or as one of several workers; run by the tests.

python -m tests.training.replica_run OUT KIND REPLICAS STATES [WORKER_INDEX HOST:PORT HOST:PORT ...]

The KIND is one of `KINDS`. Writes what `results` says to OUT, and with several workers the training's states to the
folder STATES, from which it goes on. Replicas beyond one for each worker are CPUs, which TensorFlow's strategy for
several workers does not use by itself.
"""

import sys

import numpy as np

from mrcnn_keras.training.cluster import is_chief, make_strategy

from .. import tiny

FIELDS = {**tiny.FIELDS, "mask_head_convs": 1, "batch_size": 4, "gradient_clip_norm": 0.5}
KINDS = {"c4": {**tiny.C4, "mask_head": "none"}, "fpn": {}}
EPOCHS, STEPS_PER_EPOCH = 2, 2


def main(out, kind, replicas, states, index=None, *workers):
    """Writes one file, and the states."""
    replicas = int(replicas)
    if workers:
        use_cpus(replicas // len(workers))
        strategy = make_strategy(workers=workers, worker_index=int(index))
    else:
        strategy = make_strategy(replicas)
    from mrcnn_keras.training import Checkpoints

    assert strategy.num_replicas_in_sync == replicas
    shared = {} if workers else values_of_two_replicas(strategy)
    with strategy.scope():
        model = make_model(kind)
    history = train(model, [Checkpoints(states, every=1)] if workers else [])
    np.savez(out, chief=is_chief(strategy), **results(model, history), **shared)


def make_model(kind, **options):
    """A model compiled for the whole training."""
    model = tiny.tiny_model(**{**FIELDS, **KINDS[kind]})
    model.compile(total_steps=EPOCHS * STEPS_PER_EPOCH, **options)
    return model


def train(model, callbacks=()):
    """The history of a training with validation."""
    from mrcnn_keras.data import ShapesDataset

    options = {"epochs": EPOCHS, "steps_per_epoch": STEPS_PER_EPOCH, "verbose": 0, "callbacks": list(callbacks)}
    # Of five images a replica goes without in the second batch.
    options["validation_data"] = ShapesDataset(5, seed=5, size=(64, 64))
    return model.fit(ShapesDataset(16, seed=0, size=(64, 64)), **options).history


def results(model, history):
    """Arrays by name: all variables ("|" in their names), those of the optimizer, and the epochs' values."""
    arrays = {variable.path: variable.numpy() for variable in model.variables}
    arrays |= {f"optimizer {variable.path}": variable.numpy() for variable in model.optimizer.variables}
    arrays = {name.replace("/", "|"): value for name, value in arrays.items()}
    return {**arrays, **{f"history {name}": np.array(values) for name, values in history.items()}}


CLIPPINGS = {
    "global norm, over": {"global_clipnorm": 1.0},
    "global norm, under": {"global_clipnorm": 6.0},
    "norm": {"clipnorm": 2.5},
    "value": {"clipvalue": 3.5},
    "none": {},
}


def values_of_two_replicas(strategy):
    """What two replicas compute together of values that differ between them; arrays by name."""
    import keras
    import tensorflow as tf

    from mrcnn_keras.layers import replicas
    from mrcnn_keras.training.gradients import clip_whole_batch
    from mrcnn_keras.training.replicas import over_replicas

    with strategy.scope():
        optimizers = {name: keras.optimizers.SGD(1.0, **options) for name, options in CLIPPINGS.items()}

    def on_replica():
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        share = tf.cast(number, tf.float32)
        gradient = tf.where(number == 0, [3.0, 0.0], [0.0, 4.0])
        values = {f"clipped: {name}": clip_whole_batch(one, [gradient])[0] for name, one in optimizers.items()}
        values["mean"] = replicas.divide(6.0 * share, 1.0 + 2.0 * share)  # sums 0 and 6 of 1 and 3 terms
        values["first image"] = replicas.first_image(3)
        # The loss of a replica without an image, which is anything, and of one with two.
        losses, values["images"] = over_replicas({"loss": tf.where(number == 0, np.nan, 5.0)}, 2.0 * share)
        return {**values, "loss": losses["loss"]}

    found = tf.function(lambda: strategy.run(on_replica))()
    return {name: np.array([one.numpy() for one in value.values]) for name, value in found.items()}


def use_cpus(count):
    """Give each worker so many CPU devices as if they were GPUs."""
    import tensorflow as tf
    from tensorflow.python.distribute import collective_all_reduce_strategy as strategies

    if count > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)

    def local_devices(self, cluster_resolver, worker_device):
        return tuple(f"{worker_device}/device:CPU:{number}" for number in range(count)), "CPU"

    strategies.CollectiveAllReduceExtended._initialize_local_devices = local_devices


if __name__ == "__main__":
    main(*sys.argv[1:])
