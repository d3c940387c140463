"""A step that replicas share is the step that one device makes."""

import numpy as np
import pytest

from ..processes import arrays_of, finish, free_addresses, start
from . import replica_run

RUN = "tests.training.replica_run"


def on_one_device(kind):
    model = replica_run.make_model(kind, run_eagerly=True)
    return replica_run.results(model, replica_run.train(model))


def on_two_replicas(kind, folder):
    path = folder / "two.npz"
    finish(start(RUN, path, kind, 2, "none"))
    return arrays_of(path)


@pytest.fixture(scope="module")
def two_replicas(tmp_path_factory):
    return on_two_replicas("fpn", tmp_path_factory.mktemp("two"))


def _assert_same(found, expected):
    weights = [name for name in expected if "|" in name and "tracker" not in name]
    assert len(weights) > 100 and set(expected) <= set(found)
    for name in weights:
        difference = np.linalg.norm(found[name] - expected[name])
        assert difference <= 1e-5 * np.linalg.norm(expected[name]) + 1e-9, (name, difference)
    logged = {name for name in expected if name.startswith("history ") and "val_" not in name}
    assert len(logged) >= 6
    for name in logged:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-6, err_msg=name)
    # Sampled in parts of other sizes, the validation losses are estimates.
    np.testing.assert_allclose(found["history val_loss"], expected["history val_loss"], rtol=0.02)


@pytest.mark.slow
def test_replicas_make_the_steps_and_validation_of_one_device(two_replicas):
    _assert_same(two_replicas, on_one_device("fpn"))


@pytest.mark.slow
def test_clipping_normalisers_and_metrics_are_those_of_the_whole_batch(two_replicas):
    sums = {name: two_replicas[f"clipped: {name}"].sum(axis=0) for name in replica_run.CLIPPINGS}
    np.testing.assert_allclose(sums["global norm, over"], [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(sums["global norm, under"], [3.0, 4.0], rtol=1e-6)
    np.testing.assert_allclose(sums["norm"], [1.5, 2.0], rtol=1e-6)
    np.testing.assert_allclose(sums["value"], [3.0, 3.5], rtol=1e-6)
    np.testing.assert_allclose(sums["none"], [3.0, 4.0], rtol=1e-6)
    assert two_replicas["mean"].mean() == 6.0 / 4.0
    assert two_replicas["first image"].tolist() == [0, 3]
    assert two_replicas["loss"].tolist() == [5.0, 5.0]
    assert two_replicas["images"].tolist() == [2.0, 2.0]


@pytest.mark.slow
def test_workers_make_the_steps_of_one_device_and_go_on_from_their_states(tmp_path):
    kind = "c4"
    states, found = tmp_path / "states", {}
    for name in ("whole", "again"):
        addresses = free_addresses(2)
        paths = [tmp_path / f"{name}{index}.npz" for index in range(2)]
        finish(*[start(RUN, path, kind, 2, states, index, *addresses) for index, path in enumerate(paths)])
        found[name] = [arrays_of(path) for path in paths]
        newest = max(states.glob("step-*.keras"))
        assert newest.name == "step-00000004.keras"
        newest.unlink()  # as if they had been stopped before
        (states / "last.keras").unlink(missing_ok=True)
    expected = on_one_device(kind)
    for worker in found["whole"]:
        _assert_same(worker, expected)
    assert [bool(worker["chief"]) for worker in found["whole"]] == [True, False]
    whole, again = found["whole"][0], found["again"][0]
    for name in (name for name in whole if "|" in name):
        np.testing.assert_array_equal(whole[name], again[name], err_msg=name)
    assert len(again["history loss"]) == 1  # the epoch in the middle of which it went on
