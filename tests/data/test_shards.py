"""Batches that are made in parts, for replicas and machines that share a step."""

import numpy as np
import pytest

from mrcnn_keras.data import Dataset, ShapesDataset, make_annotations, training_batches, validation_batches

_OPTIONS = {"min_side": 64, "max_side": 64, "mask_size": 16}
_WHOLE = ("image_index", "gt_boxes", "gt_class_ids", "images")


def _shapes(count=23):
    return ShapesDataset(count, seed=1, size=(64, 64))


def _arrays(batches, count=None):
    taken = batches if count is None else batches.take(count)
    return [{name: value.numpy() for name, value in batch.items()} for batch in taken]


def _joined(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in _WHOLE}


def test_parts_are_the_rows_of_the_whole_batches():
    whole = _arrays(training_batches(_shapes(), batch_size=6, **_OPTIONS), 5)
    parts = _arrays(training_batches(_shapes(), batch_size=6, num_shards=3, shards=range(3), **_OPTIONS), 15)
    assert all(part["images"].shape[0] == 2 for part in parts)
    for step, batch in enumerate(whole):
        joined = _joined(parts[3 * step : 3 * step + 3])
        for name in _WHOLE:
            np.testing.assert_array_equal(joined[name], batch[name], err_msg=name)


def test_machines_make_only_their_own_parts_and_go_on_where_they_stopped():
    options = {"batch_size": 8, "num_shards": 4, **_OPTIONS}
    everything = _arrays(training_batches(_shapes(), shards=range(4), **options), 16)
    for shards in ((0, 1), (2, 3)):
        resumed = _arrays(training_batches(_shapes(), shards=shards, start_step=2, **options), 4)
        for number, part in enumerate(resumed):
            step, place = 2 + number // 2, shards[number % 2]
            np.testing.assert_array_equal(part["images"], everything[4 * step + place]["images"])


def test_one_pass_shares_out_every_image_once_and_fills_with_black_ones():
    parts = _arrays(validation_batches(_shapes(9), batch_size=4, num_shards=4, shards=range(4), **_OPTIONS))
    assert [part["image_index"].tolist() for part in parts] == [[i] for i in range(9)] + [[-1]] * 3
    blank = parts[-1]
    assert blank["images"].shape == (1, 64, 64, 3) and not blank["images"].any()
    assert (blank["gt_class_ids"] == -1).all() and blank["gt_masks"].shape[2:] == (16, 16)


class _Broken(Dataset):
    def __len__(self):
        return 4

    def image_size(self, index):
        return (64, 64)

    def load_image(self, index):
        if index == 1:
            raise ValueError("cannot read it")
        return np.full((64, 64, 3), index, np.uint8)

    def load_annotations(self, index):
        return make_annotations((64, 64), [], masks=[])


def test_a_broken_image_leaves_its_replica_a_black_one():
    parts = _arrays(validation_batches(_Broken(), batch_size=2, num_shards=2, shards=(0, 1), skip_broken=True,
                                       **_OPTIONS))  # fmt: skip
    assert [part["image_index"].tolist() for part in parts] == [[0], [-1], [2], [3]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_shards": 4}, "batch_size=6 images cannot be cut into 4 equal parts"),
        ({"num_shards": 0}, "cannot be cut into 0 equal parts"),
        ({"num_shards": 3, "shards": (3,)}, r"shards must be numbers in 0\.\.2, at least one, got \[3\]"),
        ({"num_shards": 3, "shards": ()}, r"got \[\]"),
    ],
)
def test_shares_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        training_batches(_shapes(), batch_size=6, **options, **_OPTIONS)
