import keras
import numpy as np
import pytest

from mrcnn_keras.training.optimizer import SGD
from mrcnn_keras.training.schedules import WarmupSteps, paper_schedule


def test_decay_acts_through_the_momentum_on_kernels_only():
    kernel, bias = keras.Variable(np.ones((2, 2))), keras.Variable(np.ones(2))
    optimizer = SGD(0.1, momentum=0.9, l2_decay=0.5)
    expected, velocity = 1.0, 0.0
    for _ in range(3):
        optimizer.apply([np.full((2, 2), 0.2), np.full(2, 0.0)], [kernel, bias])
        velocity = 0.9 * velocity - 0.1 * (0.2 + 0.5 * expected)
        expected += velocity
    np.testing.assert_allclose(kernel.numpy(), np.full((2, 2), expected), rtol=1e-5)
    np.testing.assert_array_equal(bias.numpy(), [1, 1])


def test_optimizer_config_round_trip():
    optimizer = SGD(WarmupSteps(0.3, 10, (20, 30), 0.5), momentum=0.8, l2_decay=0.25, global_clipnorm=2.0)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert isinstance(again, SGD) and again.l2_decay == 0.25


def test_schedule_rises_holds_and_drops():
    schedule = WarmupSteps(0.02, warmup_steps=100, drops=(1000, 2000))
    values = [float(schedule(step)) for step in (0, 50, 100, 999, 1000, 1999, 2000)]
    expected = [0.00002, 0.02 * 0.5005, 0.02, 0.02, 0.002, 0.002, 0.0002]
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_no_warmup_and_no_drops():
    assert float(WarmupSteps(0.5, 0, ())(0)) == pytest.approx(0.5)


def test_the_papers_run():
    schedule = paper_schedule(16, 160_000)
    assert schedule.learning_rate == pytest.approx(0.02)
    assert list(schedule.drops) == [120_000]
    assert paper_schedule(4, 160_000).learning_rate == pytest.approx(0.005)
    assert paper_schedule(4, 200).warmup_steps == 20
