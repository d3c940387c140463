"""Batches with a fixed number of images of each of several datasets."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.config import MaskRCNNConfig
from mrcnn_keras.data import (
    Dataset,
    KeypointSet,
    MixedDataset,
    PhotosDataset,
    ShapesDataset,
    StickFiguresDataset,
    make_annotations,
    training_batches,
    validation_batches,
)
from mrcnn_keras.data.mixed_plan import MixedPlan
from mrcnn_keras.training.feed import training_feed

_OPTIONS = {"batch_size": 5, "min_side": 32, "max_side": 32, "mask_size": 8, "seed": 3}
_SIZE = {"size": (32, 32)}
_HOST = (
    "from mrcnn_keras.data import MixedDataset, ShapesDataset\n"
    "from mrcnn_keras.data.service import serve_batches\n"
    "shapes = [ShapesDataset(4, seed=1, size=(32, 32)), ShapesDataset(11, seed=2, size=(32, 32))]\n"
    "host = serve_batches(MixedDataset(shapes, (6, 4)))\n"
    "print(host.address, flush=True)\n"
    "host.join()\n"
)


def mixed(few=4, many=11, ratio=(6, 4)):
    return MixedDataset([ShapesDataset(few, seed=1, **_SIZE), ShapesDataset(many, seed=2, **_SIZE)], ratio)


def indices(batches, count=-1):
    return [batch["image_index"].numpy() for batch in batches.take(count)]


class Plain(Dataset):
    """Grey images of given sizes, some of which are broken."""

    def __init__(self, sizes, broken=(), skip_broken=False):
        self.sizes, self.broken, self.skip_broken = sizes, broken, skip_broken

    def __len__(self):
        return len(self.sizes)

    def load_image(self, index):
        if index in self.broken:
            raise ValueError("torn")
        return np.full((*self.sizes[index], 3), 100, np.uint8)

    def load_annotations(self, index):
        return make_annotations(self.sizes[index], [], boxes=[])

    def image_size(self, index):
        return self.sizes[index]


def test_every_batch_has_its_shares_and_every_image_of_a_part_comes_once_an_epoch():
    found = indices(training_batches(mixed(), **_OPTIONS), 44)
    assert [np.count_nonzero(one < 4) for one in found] == [3] * 44
    # After 44 batches 33 epochs of the four images and 8 of the eleven.
    np.testing.assert_array_equal(np.bincount(np.concatenate(found)), [33] * 4 + [8] * 11)


def test_batches_do_not_depend_on_where_a_training_goes_on():
    whole = list(training_batches(mixed(), **_OPTIONS).take(70).as_numpy_iterator())
    resumed = training_batches(mixed(), start_step=62, **_OPTIONS).take(8).as_numpy_iterator()
    for one, other in zip(whole[62:], resumed, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    assert not np.array_equal(whole[0]["image_index"], next(iter(training_batches(mixed(), **{**_OPTIONS, "seed": 4})))
                              ["image_index"])  # fmt: skip


def test_replicas_get_rows_of_the_same_batches_with_both_kinds_in_each():
    options = {**_OPTIONS, "batch_size": 8}
    whole = indices(training_batches(mixed(ratio=(1, 1)), **options), 6)
    for shard in range(4):
        part = indices(training_batches(mixed(ratio=(1, 1)), num_shards=4, shards=(shard,), **options), 6)
        np.testing.assert_array_equal(part, [one[2 * shard : 2 * shard + 2] for one in whole])
        assert all(np.count_nonzero(one < 4) == 1 for one in part)


@pytest.mark.parametrize(
    ("ratio", "batch_size", "shares"),
    [((6, 4), 10, [6, 4]), ((6, 4), 16, [10, 6]), ((1, 99), 8, [1, 7]), ((6, 4), 2, [1, 1]), ((0.5, 0.5), 3, [2, 1])],
)
def test_shares_are_whole_images(ratio, batch_size, shares):
    assert mixed(ratio=ratio).shares(batch_size) == shares


def test_batches_of_one_orientation_come_together():
    rng = np.random.default_rng(0)
    wide = rng.random(1000) < 0.6
    plan = MixedPlan([400, 600], [3, 5], wide, seed=1)
    kinds = [set(wide[plan.batch(step)]) for step in range(640)]
    assert sum(len(kind) == 1 for kind in kinds) > 0.85 * 640
    order = np.concatenate([plan.batch(step) for step in range(400)])
    np.testing.assert_array_equal(np.bincount(order[order < 400], minlength=400), 3)


def test_a_broken_image_is_replaced_by_one_of_its_part_and_reported():
    size = [(32, 32)] * 4
    data = MixedDataset([Plain(size, broken=(3,), skip_broken=True), Plain(size)], (1, 1))
    options = {**_OPTIONS, "batch_size": 2, "mask_size": 0}
    found = indices(training_batches(data, **options), 16)
    assert all(np.count_nonzero(one < 4) == 1 for one in found) and not (np.concatenate(found) == 3).any()
    assert data.report().counts["skipped"] == 1 and "torn" in data.report().skipped[0]
    assert data.subset([3, 4]).report().counts["skipped"] == 1 and data.subset([4]).report().counts["skipped"] == 0
    broken = MixedDataset([Plain(size), Plain(size, broken=(0,))], (1, 1))
    with pytest.raises(Exception, match="torn"):
        indices(training_batches(broken, **options), 4)


def test_one_pass_has_every_image_once():
    found = np.concatenate(indices(validation_batches(mixed(), batch_size=4, min_side=32, max_side=32)))
    assert sorted(found.tolist()) == list(range(15))
    assert mixed().image_size(5) == (32, 32) and len(mixed().split(0.2)[0]) == 3


@pytest.mark.slow
def test_a_model_is_fed_and_hosts_make_the_same_batches():
    config = MaskRCNNConfig(num_classes=3, image_min_side=32, image_max_side=32)
    here = indices(training_feed(mixed(), config, 5, 1, 7), 4)
    assert all(np.count_nonzero(one < 4) == 3 for one in here)
    with subprocess.Popen([sys.executable, "-c", _HOST], stdout=subprocess.PIPE, text=True) as host:
        try:
            address = host.stdout.readline().strip()
            np.testing.assert_array_equal(indices(training_feed(mixed(), config, 5, 1, 7, None, [address]), 4), here)
        finally:
            host.kill()


def test_what_does_not_fit_is_an_error():
    shapes, people = ShapesDataset(2, **_SIZE), StickFiguresDataset(2, size=(64, 64))
    renamed = StickFiguresDataset(2, size=(64, 64))
    renamed.keypoints = KeypointSet(tuple(f"k{i}" for i in range(13)))
    for parts, ratio, message in (
        ([shapes, people], (1, 1), r"dataset 1 .* has 1 classes \(person"),
        ([people, renamed], (1, 1), r"other keypoints than the first: 13 \(k0"),
        ([shapes, ShapesDataset(0)], (1, 1), "dataset 1 .* no images"),
        ([shapes], (1,), "two or more"),
        ([shapes, shapes], (1, 0), "above 0"),
        ([shapes, shapes], (1,), "above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            MixedDataset(parts, ratio)
    with pytest.raises(ValueError, match="batch_size=1 has no room for 2 datasets"):
        training_batches(mixed(), **{**_OPTIONS, "batch_size": 1})


def test_keypoints_are_kept_with_their_ratio():
    people = StickFiguresDataset(3, size=(64, 64))
    kept = MixedDataset([people, people], (3, 1)).with_keypoints()
    assert kept.ratio == (3, 1) and len(kept) == 6 and kept.keypoints == people.keypoints


def test_photos_of_folders_and_files(tmp_path):
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    for name in ("a/one.PNG", "a/deep/two.jpg", "b/three.png"):
        Image.new("RGB", (20, 10), (250, 0, 0)).save(tmp_path / name)
    (tmp_path / "a" / "note.txt").write_text("no photo")
    photos = PhotosDataset(tmp_path / "a")
    assert [photos.image_name(i) for i in range(len(photos))] == ["deep/two.jpg", "one.PNG"]
    assert photos.load_image(1).shape == (10, 20, 3) and len(photos.load_annotations(1)) == 0
    both = PhotosDataset([tmp_path / "a", tmp_path / "b" / "three.png"])
    assert both.folder == tmp_path and both.image_name(2) == "b/three.png"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no photos in"):
        PhotosDataset(tmp_path / "empty")
    with pytest.raises(ValueError, match="no file or folder"):
        PhotosDataset([tmp_path / "c"])
