"""Trains a small model with XLA and without, in a process of its own: XLA keeps what it compiles; run by the tests.

python -m tests.training.xla_run OUT

Writes arrays to OUT, by these names followed by a space and a variable's path: "start", the values before the
trainings; "plain" and "xla", the values after either of them; "before" and "after", trainable ones around a step whose
loss is not finite, which raises "error". "plain loss" and "xla loss" are followed by the names of what a history has.
"""

import sys

import keras
import numpy as np

from mrcnn_keras import NonFiniteLossError
from mrcnn_keras.data import StickFiguresDataset

from .. import tiny

FIELDS = {
    "num_classes": 1,
    "num_keypoints": 13,
    "mask_head_convs": 1,
    "backbone_norm": "batch",
    "flip": False,
    # Every anchor and RoI is sampled: XLA draws other numbers at random.
    "rpn_batch_size": 4096,
    "rpn_positive_fraction": 0.25,
    "roi_batch_size": 128,
    "roi_positive_fraction": 0.5,
}
PEOPLE = StickFiguresDataset(6, seed=0, size=(64, 64))


def main(out):
    """Writes one file."""
    start = values(tiny.tiny_model(**FIELDS).variables)
    plain, plain_history = trained(run_eagerly=True)
    model, history = trained(jit_compile=True)
    found = named("start", start) | named("plain", values(plain.variables)) | named("xla", values(model.variables))
    found |= named("plain loss", plain_history) | named("xla loss", history)
    classifier = model.get_layer("box_head").classifier
    classifier.kernel.assign(np.full(classifier.kernel.shape, np.inf))
    found |= named("before", values(model.trainable_variables))
    try:
        model.fit(PEOPLE, epochs=1, steps_per_epoch=1, verbose=0)
    except NonFiniteLossError as error:
        found["error"] = str(error)
    found |= named("after", values(model.trainable_variables))
    np.savez(out, **{name.replace("/", "|"): value for name, value in found.items()})


def trained(**options):
    """A model after three steps, and their losses."""
    model = tiny.tiny_model(**FIELDS)
    model.compile(keras.optimizers.SGD(0.01), **options)
    return model, model.fit(PEOPLE, epochs=3, steps_per_epoch=1, verbose=0).history


def values(variables):
    """The variables' values by path."""
    return {variable.path: variable.numpy() for variable in variables}


def named(kind, arrays):
    """The arrays with the kind in their names."""
    return {f"{kind} {name}": np.asarray(array) for name, array in arrays.items()}


if __name__ == "__main__":
    main(sys.argv[1])
