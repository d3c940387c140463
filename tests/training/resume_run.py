"""Trains a small model with checkpoints, alone or as one of two workers; run and killed by the tests.

python resume_run.py OUT FOLDER REPLICAS [WORKER_INDEX HOST:PORT HOST:PORT]

Writes the weights at the end to OUT, and a line with the step to standard output after each step.
"""

import contextlib
import sys

import numpy as np
from replica_run import FIELDS

from mrcnn_keras.training.cluster import make_strategy

EPOCHS, STEPS_PER_EPOCH, EVERY = 3, 5, 2


def main(out, folder, replicas, index=None, *workers):
    """Trains to the end, from wherever the folder's states begin."""
    replicas = int(replicas)
    strategy = make_strategy(workers=workers, worker_index=int(index)) if workers else make_strategy(replicas)
    import keras

    from mrcnn_keras import MaskRCNN, MaskRCNNConfig
    from mrcnn_keras.data import ShapesDataset
    from mrcnn_keras.training import Checkpoints

    class Tell(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            print(int(self.model.optimizer.iterations.numpy()), flush=True)

    with strategy.scope() if replicas > 1 else contextlib.nullcontext():
        model = MaskRCNN(MaskRCNNConfig(**FIELDS))
        model.compile()
    train = ShapesDataset(22, seed=0, size=(64, 64))
    history = model.fit(
        train,
        epochs=EPOCHS,
        steps_per_epoch=STEPS_PER_EPOCH,
        callbacks=[Tell(), Checkpoints(folder, every=EVERY, monitor="loss", mode="min")],
        verbose=0,
    ).history
    weights = {variable.path.replace("/", "|"): variable.numpy() for variable in model.variables}
    weights |= {f"optimizer {v.path}".replace("/", "|"): v.numpy() for v in model.optimizer.variables}
    np.savez(out, **weights, **{f"last {name}": values[-1] for name, values in history.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
