"""The order of images: complete, repeatable, and found without walking there."""

import numpy as np
import pytest

from mrcnn_keras.data.plan import BatchPlan


def _epochs(plan, count, batch_size, epochs):
    steps = count * epochs // batch_size
    return np.concatenate([plan.batch(step) for step in range(steps)])


@pytest.mark.parametrize(("count", "batch_size"), [(10, 4), (7, 7), (3, 8), (1, 2), (25, 1), (12, 4), (5, 4)])
def test_every_epoch_has_every_image_once(count, batch_size):
    # After `batch_size` epochs the batches end together with an epoch, so counts must be equal.
    wide = np.arange(count) % 3 == 0
    plan = BatchPlan(count, batch_size, wide, seed=5)
    order = _epochs(plan, count, batch_size, batch_size)
    np.testing.assert_array_equal(np.bincount(order, minlength=count), batch_size)
    assert all(len(plan.batch(step)) == batch_size for step in range(10))


def test_steps_can_be_asked_in_any_order():
    wide = np.arange(23) % 2 == 0
    forward, backward = BatchPlan(23, 4, wide, seed=1), BatchPlan(23, 4, wide, seed=1)
    there = [forward.batch(step) for step in range(60)]
    back = [backward.batch(step) for step in reversed(range(60))][::-1]
    np.testing.assert_array_equal(there, back)
    assert len(BatchPlan(23, 4, wide, seed=1).batch(10**9)) == 4


def test_seeds_and_epochs_differ():
    plan, other = BatchPlan(100, 10, seed=1), BatchPlan(100, 10, seed=2)
    assert not np.array_equal(plan.batch(0), other.batch(0))
    assert not np.array_equal(plan.batch(0), plan.batch(10))


def test_batches_hold_one_orientation_but_for_one_an_epoch():
    wide = np.random.default_rng(0).random(203) < 0.3
    plan = BatchPlan(203, 8, wide, seed=0)
    mixed = [len(set(wide[plan.batch(step)])) > 1 for step in range(203)]  # eight epochs
    assert sum(mixed) <= 8


def test_a_single_pass_in_order():
    plan = BatchPlan(10, 4, None, shuffle=False, repeat=False)
    assert len(plan) == 3
    assert [plan.batch(step).tolist() for step in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    dropped = BatchPlan(10, 4, None, shuffle=False, repeat=False, drop_remainder=True)
    assert len(dropped) == 2


def test_a_single_grouped_pass_has_every_image_once():
    wide = np.arange(11) < 6
    plan = BatchPlan(11, 4, wide, repeat=False)
    batches = [plan.batch(step) for step in range(len(plan))]
    assert [len(batch) for batch in batches] == [4, 4, 3]
    assert sorted(np.concatenate(batches).tolist()) == list(range(11))


def test_flips_and_scales_do_not_depend_on_what_else_is_drawn():
    drawn = BatchPlan(40, 6, seed=9).augmentation(17)
    assert drawn.shape == (6, 8) and (0 <= drawn).all() and (drawn < 1).all()
    # What the plan drew when there were only these two.
    np.testing.assert_array_equal(drawn[:, :2].T, np.random.default_rng([9, 2, 17]).random((2, 6)))
