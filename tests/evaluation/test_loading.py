import threading

import pytest

from mrcnn_keras.evaluation.loading import loading


class Numbers:
    """A dataset of numbers that says what was asked for."""

    def __init__(self, broken=()):
        self.broken, self.asked = broken, set()

    def load(self, index):
        self.asked.add(index)
        if index in self.broken:
            raise ValueError(f"image {index}")
        return index * 10


def threads():
    return [one for one in threading.enumerate() if one.name.startswith("evaluation")]


def test_parts_come_in_order_and_one_ahead():
    dataset, parts = Numbers(), [range(0, 2), range(2, 4), range(0), range(4, 5), range(5, 9)]
    with loading(dataset, parts) as samples:
        assert next(samples) == {0: 0, 1: 10}
        rest = [*samples]
    assert rest == [{2: 20, 3: 30}, {}, {4: 40}, {5: 50, 6: 60, 7: 70, 8: 80}]
    with loading(lazy := Numbers(), parts) as samples:
        next(samples)
    assert lazy.asked <= {0, 1, 2, 3} and not threads()


def test_errors_come_when_the_part_is_due_and_the_first_of_it():
    with pytest.raises(ValueError, match="image 3"), loading(Numbers({3, 4}), [[0, 1], [2, 3, 4], [5]]) as samples:
        assert next(samples) == {0: 0, 1: 10}
        next(samples)
    assert not threads()


def test_no_thread_is_left_when_the_work_on_them_is_interrupted():
    with pytest.raises(KeyboardInterrupt), loading(Numbers(), [[index] for index in range(5)]) as samples:
        next(samples)
        raise KeyboardInterrupt
    assert not threads()
