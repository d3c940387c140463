"""Trains a small model for some steps on a number of replicas, alone or as one of several workers; run by the tests.

python replica_run.py OUT REPLICAS IMAGES EPOCHS [WORKER_INDEX HOST:PORT HOST:PORT ...]

Each of the EPOCHS has one step of IMAGES images, all replicas together. Replicas beyond one for each worker are CPUs,
which TensorFlow's strategy for several workers does not use by itself.
"""

import contextlib
import sys

import numpy as np

from mrcnn_keras.training.cluster import is_chief, make_strategy

FIELDS = {
    "num_classes": 3,
    "backbone_blocks": (1, 1, 1, 1),
    "stem_channels": 8,
    "res2_channels": 16,
    "width_per_group": 8,
    "fpn_channels": 16,
    "box_head_dim": 32,
    "mask_head_dim": 16,
    "mask_head_convs": 1,
    "backbone_norm": "group",
    "norm_groups": 4,
    "freeze_at": 0,
    "image_min_side": 64,
    "image_max_side": 64,
    "anchor_sizes": (8, 16, 32, 64, 128),
    "rpn_batch_size": 32,
    "rpn_pre_nms_topk_train": 100,
    "rpn_post_nms_topk_train": 50,
    "roi_batch_size": 32,
    "gt_mask_size": 28,
    "batch_size": 4,
    "gradient_clip_norm": 0.5,
}


def main(out, replicas, images, epochs, index=None, *workers):
    """Writes weights and losses to `out`."""
    replicas, images, epochs = int(replicas), int(images), int(epochs)
    if workers:
        use_cpus(replicas // len(workers))
        strategy = make_strategy(workers=workers, worker_index=int(index))
    else:
        strategy = make_strategy(replicas)
    from mrcnn_keras import MaskRCNN, MaskRCNNConfig
    from mrcnn_keras.data import ShapesDataset

    assert strategy.num_replicas_in_sync == replicas
    with strategy.scope() if replicas > 1 else contextlib.nullcontext():
        model = MaskRCNN(MaskRCNNConfig(**{**FIELDS, "batch_size": images}))
        model.compile(total_steps=epochs)
    # Five images to validate on: in the second batch a replica goes without.
    train, validation = ShapesDataset(max(16, images), seed=0, size=(64, 64)), ShapesDataset(5, seed=5, size=(64, 64))
    history = model.fit(train, validation_data=validation, epochs=epochs, steps_per_epoch=1, verbose=0).history
    weights = {variable.path.replace("/", "|"): np.array(variable) for variable in model.trainable_variables}
    np.savez(out, chief=is_chief(strategy), **weights, **{f"history {key}": value for key, value in history.items()})


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
