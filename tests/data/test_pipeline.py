"""Training batches: geometry, order, resuming, faults."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.data import (
    CocoDataset,
    Dataset,
    MaskFolderDataset,
    ShapesDataset,
    make_annotations,
    resize_image,
    training_batches,
    validation_batches,
)

_SHAPES = {"min_side": 64, "max_side": 64, "mask_size": 16}


class _Blocks(Dataset):
    """Images (40 + index) x 60, or turned where the index is odd, with one block whose colour is its index."""

    class_names = ("block",)

    def __init__(self, count, empty=(), broken=()):
        self.count, self.empty, self.broken = count, empty, broken
        self.loaded = []

    def __len__(self):
        return self.count

    def image_size(self, index):
        return (40 + index, 80) if index % 2 == 0 else (80, 40 + index)

    def load_image(self, index):
        self.loaded.append(index)
        if index in self.broken:
            raise ValueError(f"cannot read image block-{index}.jpg: truncated")
        image = np.zeros((*self.image_size(index), 3), np.uint8)
        image[10:20, 4:24] = 100 + index % 100
        return image

    def load_annotations(self, index):
        mask = np.zeros(self.image_size(index), bool)
        mask[10:20, 4:14] = True  # the left half of the box
        present = [] if index in self.empty else [0]
        return make_annotations(
            mask.shape, present, masks=[mask] * len(present), boxes=[[4, 10, 24, 20]] * len(present)
        )


def _arrays(batches, count=None):
    return [
        {name: value.numpy() for name, value in batch.items()} for batch in batches.take(-1 if count is None else count)
    ]


def _assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_shapes_types_and_padding():
    batches = training_batches(ShapesDataset(20, seed=1), batch_size=3, min_side=80, max_side=120, mask_size=20)
    spec = {name: (one.dtype.name, one.shape.as_list()) for name, one in batches.element_spec.items()}
    assert spec == {
        "images": ("uint8", [None, None, None, 3]),
        "image_sizes": ("float32", [None, 2]),
        "gt_boxes": ("float32", [None, None, 4]),
        "gt_class_ids": ("int32", [None, None]),
        "gt_masks": ("uint8", [None, None, 20, 20]),
        "image_index": ("int64", [None]),
    }
    for batch in _arrays(batches, 3):
        assert batch["images"].shape == (3, 96, 96, 3) and (batch["image_sizes"] == 80).all()
        assert not batch["images"][:, 80:].any() and not batch["images"][:, :, 80:].any()
        padding = batch["gt_class_ids"] < 0
        assert (
            padding.shape == (3, 8) and (batch["gt_class_ids"][padding] == -1).all() and not padding.all(axis=1).any()
        )
        assert not batch["gt_boxes"][padding].any() and not batch["gt_masks"][padding].any()
        assert batch["gt_masks"][~padding].any(axis=(1, 2)).all()


def test_boxes_and_images_are_resized_together_per_axis():
    dataset = _Blocks(3)
    for batch in _arrays(validation_batches(dataset, batch_size=1, min_side=100, max_side=150)):
        index = int(batch["image_index"][0])
        height, width = dataset.image_size(index)
        new_height, new_width = batch["image_sizes"][0]
        scale = np.array([new_width / width, new_height / height] * 2)
        np.testing.assert_allclose(batch["gt_boxes"][0, 0], np.array([4, 10, 24, 20]) * scale, rtol=1e-6)
        resized = resize_image(dataset.load_image(index), (int(new_height), int(new_width)))
        np.testing.assert_array_equal(batch["images"][0, : int(new_height), : int(new_width)], resized)


def test_flipping_mirrors_image_boxes_and_masks_alike():
    options = {"batch_size": 4, "min_side": 40, "max_side": 400, "shuffle": False, "repeat": False}
    straight = _arrays(training_batches(_Blocks(8), flip=False, **options))
    flipped = _arrays(training_batches(_Blocks(8), flip=True, seed=1, **options))
    mirrored = 0
    for plain, other in zip(straight, flipped, strict=True):
        np.testing.assert_array_equal(plain["image_index"], other["image_index"])
        for row, (height, width) in enumerate(plain["image_sizes"].astype(int)):
            image, seen = plain["images"][row, :height, :width], other["images"][row, :height, :width]
            box, mask = plain["gt_boxes"][row, 0], plain["gt_masks"][row, 0]
            if not np.array_equal(image, seen):
                mirrored += 1
                image, mask, box = image[:, ::-1], mask[:, ::-1], [width - box[2], box[1], width - box[0], box[3]]
            np.testing.assert_array_equal(seen, image)
            np.testing.assert_allclose(other["gt_boxes"][row, 0], box)
            np.testing.assert_array_equal(other["gt_masks"][row, 0], mask)
    assert 0 < mirrored < 8


def test_mask_crop_is_the_part_of_the_box_that_the_mask_covers():
    batch = _arrays(validation_batches(_Blocks(1), batch_size=1, min_side=40, max_side=400, mask_size=8))[0]
    assert (batch["gt_masks"][0, 0, :, :4] == 255).all() and (batch["gt_masks"][0, 0, :, 4:] == 0).all()


def test_same_batches_whatever_the_number_of_workers():
    options = {"batch_size": 4, "min_side": (48, 56, 64), "max_side": 96, "mask_size": 16, "seed": 7}
    one = _arrays(training_batches(ShapesDataset(10), workers=1, prefetch=0, **options), 8)
    _assert_same(one, _arrays(training_batches(ShapesDataset(10), workers=5, **options), 8))
    assert len({size for batch in one for size in batch["image_sizes"][:, 0]}) == 3
    other = _arrays(training_batches(ShapesDataset(10), **{**options, "seed": 8}), 8)
    assert any((a["image_index"] != b["image_index"]).any() for a, b in zip(one, other, strict=True))


def test_resuming_gives_the_batches_of_a_run_never_stopped():
    options = {"batch_size": 3, "seed": 2, **_SHAPES}
    whole = _arrays(training_batches(ShapesDataset(8), **options), 12)
    _assert_same(whole[7:], _arrays(training_batches(ShapesDataset(8), start_step=7, **options), 5))


def test_resuming_late_does_not_load_the_past():
    dataset = _Blocks(6)
    batches = training_batches(dataset, batch_size=2, min_side=40, max_side=80, start_step=10**7, workers=1, prefetch=1)
    assert len(_arrays(batches, 1)) == 1 and len(dataset.loaded) < 20


@pytest.mark.parametrize("batch_size", [1, 4, 8, 20])
def test_one_pass_has_every_image_once_in_order(batch_size):
    batches = validation_batches(ShapesDataset(10), batch_size=batch_size, **_SHAPES)
    found = _arrays(batches)
    assert np.concatenate([batch["image_index"] for batch in found]).tolist() == list(range(10))
    assert len(found) == batches.cardinality() == -(-10 // batch_size)
    full = training_batches(ShapesDataset(10), batch_size=batch_size, repeat=False, **_SHAPES)
    assert len(_arrays(full)) == 10 // batch_size


def test_batches_of_one_orientation_pad_little():
    dataset = _Blocks(12)
    for batch in _arrays(training_batches(dataset, batch_size=3, min_side=40, max_side=400, repeat=False), 4):
        tall = batch["image_sizes"][:, 0] > batch["image_sizes"][:, 1]
        assert len(set(tall)) == 1


def test_a_dataset_without_known_sizes_is_not_loaded_in_advance():
    class Unsized(_Blocks):
        image_size = Dataset.image_size

        def load_image(self, index):
            self.loaded.append(index)
            return np.zeros((40, 40, 3), np.uint8)

        def load_annotations(self, index):
            return make_annotations((40, 40), [])

    dataset = Unsized(50)
    batches = training_batches(dataset, batch_size=2, min_side=40, max_side=80)
    assert not dataset.loaded
    assert len(_arrays(batches, 1)) == 1 and len(dataset.loaded) < 30


def test_images_without_objects_are_kept():
    found = _arrays(validation_batches(_Blocks(4, empty=(0, 1, 2, 3)), batch_size=2, min_side=40, max_side=80))
    assert sorted(np.concatenate([batch["image_index"] for batch in found]).tolist()) == [0, 1, 2, 3]
    assert all(batch["gt_boxes"].shape == (2, 8, 4) and (batch["gt_class_ids"] == -1).all() for batch in found)


def test_object_slots_come_in_eights():
    class Crowded(_Blocks):
        def load_annotations(self, index):
            return make_annotations((40, 80), [0] * 9, masks=np.ones((9, 40, 80)))

    batch = _arrays(validation_batches(Crowded(1), batch_size=1, min_side=40, max_side=80, mask_size=4))[0]
    assert batch["gt_class_ids"].tolist() == [[0] * 9 + [-1] * 7] and batch["gt_masks"].shape == (1, 16, 4, 4)


def test_crowds_are_left_out_and_bad_boxes_repaired_and_reported():
    class Faulty(_Blocks):
        def load_annotations(self, index):
            masks = np.ones((4, 40, 80))
            boxes = [[0, 0, 80, 40], [-9, 5, 30, 400], [90, 0, 99, 9], [5, 5, 5, 5]]
            return make_annotations((40, 80), [0] * 4, masks=masks, boxes=boxes, is_crowd=[True, False, False, False])

    dataset = Faulty(1)
    batch = _arrays(validation_batches(dataset, batch_size=1, min_side=40, max_side=80, mask_size=4))[0]
    assert (batch["gt_class_ids"] >= 0).sum() == 1
    np.testing.assert_array_equal(batch["gt_boxes"][0, 0], [0, 5, 30, 40])
    assert dataset.report().counts == {"repaired": 1, "dropped": 2, "skipped": 0}


def test_boxes_only_need_mask_size_zero():
    class BoxesOnly(_Blocks):
        def load_annotations(self, index):
            return make_annotations((40, 80), [0], boxes=[[1, 2, 30, 20]])

    options = {"batch_size": 1, "min_side": 40, "max_side": 80}
    batch = _arrays(validation_batches(BoxesOnly(1), mask_size=0, **options))[0]
    assert batch["gt_masks"].shape == (1, 8, 0, 0) and batch["gt_class_ids"][0, 0] == 0
    with pytest.raises(Exception, match="no masks; pass mask_size=0"):
        _arrays(validation_batches(BoxesOnly(1), **options))


def test_a_broken_image_stops_training_with_its_name():
    import tensorflow as tf

    batches = training_batches(_Blocks(6, broken=(3,)), batch_size=2, min_side=40, max_side=80, shuffle=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="ValueError: image '3': cannot read image block-3.jpg"):
        _arrays(batches, 6)


def test_a_mistake_in_a_dataset_of_ones_own_names_the_image():
    class Mistaken(_Blocks):
        def load_annotations(self, index):
            return {}["typo"]

    with pytest.raises(Exception, match="image '0': KeyError: 'typo'"):
        _arrays(validation_batches(Mistaken(1), batch_size=1, min_side=40, max_side=80, skip_broken=True))


def test_broken_images_are_skipped_and_listed_on_request():
    options = {"batch_size": 2, "min_side": 40, "max_side": 80, "skip_broken": True}
    dataset = _Blocks(6, broken=(0, 3, 5))
    found = _arrays(training_batches(dataset, **options), 6)
    assert all(len(batch["image_index"]) == 2 for batch in found)
    assert set(np.concatenate([batch["image_index"] for batch in found]).tolist()) == {1, 2, 4}
    once = _arrays(validation_batches(_Blocks(6, broken=(0, 2, 3, 5)), **options))
    assert sorted(np.concatenate([batch["image_index"] for batch in once]).tolist()) == [1, 4]
    assert dataset.report().counts["skipped"] == 3 and "block-5.jpg" in str(dataset.report())


def test_all_images_broken_is_an_error_not_a_hang():
    batches = training_batches(_Blocks(3, broken=(0, 1, 2)), batch_size=2, min_side=40, max_side=80, skip_broken=True)
    with pytest.raises(Exception, match="no usable image"):
        _arrays(batches, 1)


def test_files_that_break_are_named_by_the_pipeline(tmp_path):
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"photo{number}.jpg")
        Image.fromarray(np.eye(64, dtype=np.uint8)).save(tmp_path / f"photo{number}_mask.png")
    truncated = tmp_path / "photo2.jpg"
    truncated.write_bytes(truncated.read_bytes()[:1500])
    options = {"batch_size": 2, "min_side": 64, "max_side": 64, "mask_size": 8}
    with pytest.raises(Exception, match="photo2.jpg.*truncated"):
        _arrays(validation_batches(MaskFolderDataset(tmp_path, tmp_path), **options))
    lenient = MaskFolderDataset(tmp_path, tmp_path, skip_broken=True)
    found = np.concatenate([batch["image_index"] for batch in _arrays(validation_batches(lenient, **options))])
    assert found.tolist() == [0, 1, 3] and "photo2.jpg" in lenient.report().skipped[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number, at least 1, got 0"),
        ({"min_side": ()}, "min_side"),
        ({"min_side": (64, 0)}, "min_side"),
        ({"seed": -1}, "seed"),
        ({"workers": 0}, "workers"),
        ({"start_step": -1}, "start_step"),
        ({"mask_size": -1}, "mask_size"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        training_batches(ShapesDataset(3), **{"batch_size": 1, **_SHAPES, **arguments})


def test_an_empty_dataset_is_an_error():
    with pytest.raises(ValueError, match="no image"):
        training_batches(ShapesDataset(0), batch_size=1, **_SHAPES)


def test_memory_does_not_grow_with_the_images_seen():
    class Large(_Blocks):
        def image_size(self, index):
            return (400, 500)

    batches = iter(training_batches(Large(400), batch_size=2, min_side=400, max_side=500, workers=2, prefetch=1))
    for _ in range(20):
        next(batches)
    before = _resident()
    for _ in range(100):  # 120 MB of pixels
        next(batches)
    assert _resident() - before < 40e6


def _resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_batches_are_made_in_parallel():
    meeting = threading.Barrier(2, timeout=20)

    class Waiting(_Blocks):
        def load_annotations(self, index):
            meeting.wait()  # returns only when two batches are made at the same time
            return super().load_annotations(index)

    assert len(_arrays(validation_batches(Waiting(2), batch_size=1, min_side=40, max_side=80, workers=2))) == 2


@pytest.mark.slow
def test_the_process_ends_while_batches_are_being_made():
    code = (
        "from mrcnn_keras.data import ShapesDataset, training_batches\n"
        "batches = iter(training_batches(ShapesDataset(50), batch_size=8, min_side=128, max_side=128))\n"
        "next(batches)\n"
        "print('done')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0 and "done" in ended.stdout


@pytest.mark.shared
def test_real_photos(shared_dir):
    root = shared_dir / "data"
    coco = CocoDataset(root / "coco_tiny" / "val2017", root / "coco_tiny" / "annotations" / "instances_val2017.json")
    people = MaskFolderDataset(root / "pennfudan" / "PNGImages", root / "pennfudan" / "PedMasks", "person")
    for dataset in (coco.subset(range(24)), people.subset(range(24))):
        batches = _arrays(validation_batches(dataset, batch_size=4, min_side=160, max_side=320, mask_size=14))
        assert sorted(np.concatenate([batch["image_index"] for batch in batches]).tolist()) == list(range(24))
        for batch in batches:
            real = batch["gt_class_ids"] >= 0
            sizes = np.broadcast_to(batch["image_sizes"][:, None, [1, 0, 1, 0]], batch["gt_boxes"].shape)
            assert (batch["gt_boxes"] >= 0).all() and (batch["gt_boxes"] <= sizes + 1e-3).all()
            assert batch["gt_masks"][real].any(axis=(1, 2)).all()
            assert (batch["images"].shape[1] % 32, batch["images"].shape[2] % 32) == (0, 0)
