import threading

import pytest

from mrcnn_keras.inference.ahead import background, one_ahead


def test_the_next_item_has_begun_while_one_is_used():
    begun = []

    def begin(item):
        begun.append(item)
        return lambda: item * 10

    results = one_ahead(begin, iter(range(4)))
    assert not begun
    seen = [(result, list(begun)) for result in results]
    assert seen == [(0, [0, 1]), (10, [0, 1, 2]), (20, [0, 1, 2, 3]), (30, [0, 1, 2, 3])]
    assert [*one_ahead(begin, [])] == []


def test_an_error_comes_when_its_item_is_due():
    with background("ahead") as begin:
        results = one_ahead(lambda item: begin(divmod, 6, item), [3, 2, 0, 1])
        assert [next(results), next(results)] == [(2, 0), (3, 0)]
        with pytest.raises(ZeroDivisionError):
            next(results)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_threads_end_with_the_context_and_drop_what_waits(error):
    gate, done = threading.Event(), []
    with pytest.raises(error), background("ahead") as begin:
        for number in range(100):
            begin(lambda number=number: (gate.wait(), done.append(number)))
        threading.Timer(0.1, gate.set).start()
        raise error
    assert len(done) < 100
    assert not [one for one in threading.enumerate() if one.name.startswith("ahead")]
