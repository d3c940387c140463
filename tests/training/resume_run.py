"""Trains a small model with checkpoints in a process of its own, which a test stops.

python -m tests.training.resume_run FOLDER

Writes a line with the step to standard output after each step and then waits for a line of standard input.
"""

import sys

import keras

from mrcnn_keras.data import ShapesDataset
from mrcnn_keras.training import Checkpoints

from .. import tiny

# The architecture that takes the least time to trace.
C4 = {**tiny.C4, "mask_head": "none"}
FIELDS = {**tiny.FIELDS, **C4, "gradient_clip_norm": 0.5}
SHAPES = ShapesDataset(11, seed=0, size=(64, 64))
# Such a training makes six steps and writes states after steps 2, 4 and 6.
EPOCHS, STEPS_PER_EPOCH, EVERY = 2, 3, 2


def make_model(run_eagerly=True, **fields):
    """A compiled model."""
    model = tiny.tiny_model(**{**FIELDS, **fields})
    model.compile(run_eagerly=run_eagerly)
    return model


def train(model, folder, epochs=EPOCHS, steps=STEPS_PER_EPOCH, extra=(), data=SHAPES, **options):
    """The history of a training with checkpoints."""
    callbacks = [*extra, Checkpoints(folder, **{"every": EVERY, **options})]
    return model.fit(data, epochs=epochs, steps_per_epoch=steps, callbacks=callbacks, verbose=0).history


def state_of(model):
    """The values of all variables."""
    return [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]


class Tell(keras.callbacks.Callback):
    """Tells each step, and waits for an answer."""

    def on_train_batch_end(self, batch, logs=None):
        print(int(self.model.optimizer.iterations.numpy()), flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    train(make_model(), sys.argv[1], extra=[Tell()])
