"""A step that replicas share is the step that one device makes."""

import subprocess
import sys

import numpy as np
import pytest

from .processes import finish, free_addresses, start

RUN = "replica_run.py"
IMAGES, EPOCHS = 4, 3


def _assert_same(found, expected):
    found, expected = np.load(found), np.load(expected)
    weights = [name for name in expected.files if "|" in name]
    assert len(weights) > 50 and set(found.files) == set(expected.files)
    for name in weights:
        difference = np.linalg.norm(found[name] - expected[name])
        assert difference <= 1e-5 * np.linalg.norm(expected[name]) + 1e-9, (name, difference)
    for name in ("loss", "rpn_class_loss", "rpn_box_loss", "class_loss", "box_loss", "mask_loss", "learning_rate"):
        np.testing.assert_allclose(found[f"history {name}"], expected[f"history {name}"], rtol=1e-4, atol=1e-6)
    # Sampled in parts of other sizes, the validation losses are estimates.
    np.testing.assert_allclose(found["history val_loss"], expected["history val_loss"], rtol=0.02)


@pytest.fixture(scope="module")
def on_one_device(tmp_path_factory):
    path = tmp_path_factory.mktemp("one") / "one.npz"
    finish(start(RUN, path, 1, IMAGES, EPOCHS))
    return path


@pytest.mark.slow
def test_replicas_make_the_steps_of_one_device(on_one_device, tmp_path):
    finish(start(RUN, tmp_path / "two.npz", 2, IMAGES, EPOCHS))
    _assert_same(tmp_path / "two.npz", on_one_device)


@pytest.mark.slow
def test_workers_make_the_steps_of_one_device(on_one_device, tmp_path):
    addresses = free_addresses(2)
    paths = [tmp_path / f"worker{index}.npz" for index in range(2)]
    finish(*[start(RUN, path, 2, IMAGES, EPOCHS, index, *addresses) for index, path in enumerate(paths)])
    for path in paths:
        _assert_same(path, on_one_device)
    assert [bool(np.load(path)["chief"]) for path in paths] == [True, False]


@pytest.mark.slow
def test_workers_keep_states_and_go_on_from_them(tmp_path):
    states = tmp_path / "states"
    for name in ("whole", "again"):
        addresses = free_addresses(2)
        paths = [tmp_path / f"{name}{index}.npz" for index in range(2)]
        finish(*[start("resume_run.py", path, states, 2, index, *addresses) for index, path in enumerate(paths)])
        newest = max(states.glob("step-*.keras"))
        assert newest.name == "step-00000015.keras"
        newest.unlink()  # as if they had been stopped before
        (states / "last.keras").unlink(missing_ok=True)
    whole, again = (np.load(tmp_path / f"{name}0.npz") for name in ("whole", "again"))
    for name in (name for name in whole.files if "|" in name):
        np.testing.assert_array_equal(whole[name], again[name], err_msg=name)


CLIPPING = """
import numpy as np
import tensorflow as tf
import keras
from mrcnn_keras.training.cluster import make_strategy
strategy = make_strategy(2)
assert strategy.num_replicas_in_sync == 2
from mrcnn_keras.layers import replicas
from mrcnn_keras.training.gradients import clip_whole_batch
from mrcnn_keras.training.replicas import over_replicas

def clipped(**clipping):
    with strategy.scope():
        optimizer = keras.optimizers.SGD(1.0, **clipping)
    def on_replica():
        first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
        return clip_whole_batch(optimizer, [tf.where(first, [3.0, 0.0], [0.0, 4.0])])[0]
    parts = tf.function(lambda: strategy.run(on_replica))().values
    return sum(part.numpy() for part in parts)

np.testing.assert_allclose(clipped(global_clipnorm=1.0), [0.6, 0.8], rtol=1e-6)
np.testing.assert_allclose(clipped(clipnorm=2.5), [1.5, 2.0], rtol=1e-6)
np.testing.assert_allclose(clipped(clipvalue=3.5), [3.0, 3.5], rtol=1e-6)
np.testing.assert_allclose(clipped(global_clipnorm=6.0), [3.0, 4.0], rtol=1e-6)
np.testing.assert_allclose(clipped(), [3.0, 4.0], rtol=1e-6)

def on_replica():
    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    share = tf.cast(number, tf.float32)
    mean = replicas.divide(6.0 * share, 1.0 + 2.0 * share)  # sums 0 and 6 of 1 and 3 terms
    # One of no image, with whatever loss, and one of two.
    losses, images = over_replicas({"loss": tf.where(number == 0, np.nan, 5.0)}, 2.0 * share)
    return mean, replicas.first_image(3), losses["loss"], images

mean, first, loss, images = (part.values for part in tf.function(lambda: strategy.run(on_replica))())
assert np.mean([part.numpy() for part in mean]) == 6.0 / 4.0
assert [int(part) for part in first] == [0, 3]
assert [float(part) for part in loss] == [5.0, 5.0] and [float(part) for part in images] == [2.0, 2.0]
"""


def test_clipping_normalisers_and_metrics_are_those_of_the_whole_batch():
    subprocess.run([sys.executable, "-c", CLIPPING], check=True, timeout=300)
