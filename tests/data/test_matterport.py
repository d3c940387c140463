"""Datasets with the interface of matterport's `utils.Dataset`."""

import numpy as np
import pytest

from mrcnn_keras.data import from_matterport, rle, training_batches


class _Source:
    """What matterport's users subclass, as far as anyone sees it from outside."""

    def __init__(self):
        self._image_ids, self.image_info = [], []
        self.class_info = [{"source": "", "id": 0, "name": "BG"}]
        self.prepared = 0

    def add_class(self, source, class_id, class_name):
        self.class_info.append({"source": source, "id": class_id, "name": class_name})

    def add_image(self, source, image_id, path, **fields):
        self.image_info.append({"source": source, "id": image_id, "path": path, **fields})

    def prepare(self, class_map=None):
        self.prepared += 1
        self.num_classes, self.num_images = len(self.class_info), len(self.image_info)
        self.class_names = [info["name"].split(",")[0] for info in self.class_info]
        self._image_ids = np.arange(self.num_images)

    @property
    def image_ids(self):
        return self._image_ids

    def image_reference(self, image_id):
        return self.image_info[image_id]["path"]


class _Blocks(_Source):
    """Images of 20x30, of 30x20 where the number is odd, with blocks given as (class id, x1, y1, x2, y2)."""

    def __init__(self, *blocks, sizes=True, image=None):
        super().__init__()
        self.add_class("blocks", 1, "red, or nearly so")
        self.add_class("blocks", 2, "blue")
        self.blocks, self.image, self.loads = blocks, image, 0
        for number in range(len(blocks)):
            height, width = self.shape(number)
            self.add_image(
                "blocks",
                f"img-{number}",
                f"photos/{number}.png",
                **({"height": height, "width": width} if sizes else {}),
            )

    def shape(self, number):
        return (20, 30) if number % 2 == 0 else (30, 20)

    def load_image(self, image_id):
        self.loads += 1
        return np.full((*self.shape(image_id), 3), 50, np.uint8) if self.image is None else self.image

    def load_mask(self, image_id):
        blocks = self.blocks[image_id]
        if not blocks:
            return np.empty([0, 0, 0]), np.empty([0], np.int32)
        masks = np.zeros((*self.shape(image_id), len(blocks)), bool)
        for number, (_, x1, y1, x2, y2) in enumerate(blocks):
            masks[y1:y2, x1:x2, number] = True
        return masks, np.array([block[0] for block in blocks], np.int32)


_TWO = ((2, 3, 4, 13, 9), (1, 20, 0, 30, 20))


def test_classes_lose_the_background_and_objects_keep_their_masks():
    dataset = from_matterport(_Blocks(_TWO, (), ((1, 0, 0, 5, 5),)))
    assert len(dataset) == 3 and dataset.class_names == ("red", "blue") and dataset.category_ids == (1, 2)
    assert dataset.image_id(2) == "img-2" and dataset.image_name(2) == "photos/2.png"
    image, found = dataset.load(0)
    assert image.shape == (20, 30, 3) and found.class_ids.tolist() == [1, 0] and not found.is_crowd.any()
    np.testing.assert_array_equal(found.boxes, [[3, 4, 13, 9], [20, 0, 30, 20]])
    assert rle.columns(found.masks[0], 0, 30).T[4:9, 3:13].all() and found.areas.tolist() == [50, 200]
    image, found = dataset.load(1)  # (0, 0, 0) masks, as matterport's base class returns them
    assert found.size == (30, 20) and len(found) == 0


def test_prepare_is_called_when_needed_only():
    source = _Blocks(_TWO)
    from_matterport(source)
    assert source.prepared == 1
    from_matterport(source)
    assert source.prepared == 1
    source.add_class("blocks", 3, "green")
    assert from_matterport(source).class_names == ("red", "blue", "green") and source.prepared == 2


def test_negative_class_ids_are_crowds():
    found = from_matterport(_Blocks(((-2, 3, 4, 13, 9), (2, 20, 0, 30, 20)))).load(0)[1]
    assert found.class_ids.tolist() == [1, 1] and found.is_crowd.tolist() == [True, False]


def test_objects_without_a_pixel_are_left_out_and_reported():
    dataset = from_matterport(_Blocks(((1, 3, 3, 3, 9), (2, 20, 0, 30, 20), (1, 0, 0, 0, 0))))
    found = dataset.load(0)[1]
    assert found.ids == [1] and found.class_ids.tolist() == [1]
    report = dataset.report(check=True)
    assert report.counts == {"repaired": 0, "dropped": 2, "skipped": 0}
    assert "object 0 of image 'photos/0.png': its mask is empty" in report.dropped[0]


def test_masks_of_no_objects_may_have_the_images_size_or_all_be_empty():
    source = _Blocks(((1, 3, 3, 3, 9),))
    assert len(from_matterport(source).load(0)[1]) == 0
    source.load_mask = lambda image_id: (np.zeros((20, 30, 0), bool), np.zeros(0))
    assert from_matterport(source).load(0)[1].size == (20, 30)


def test_sizes_of_image_info_spare_loading_the_images():
    source = _Blocks(_TWO, ())
    assert [from_matterport(source).image_size(number) for number in (0, 1)] == [(20, 30), (30, 20)]
    assert source.loads == 0
    unknown = _Blocks(_TWO, (), sizes=False)
    assert from_matterport(unknown).image_size(1) == (30, 20) and unknown.loads == 1
    assert from_matterport(unknown).load(1)[1].size == (30, 20)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 4)])
def test_grey_and_transparent_images_become_rgb(shape):
    image, _ = from_matterport(_Blocks(_TWO, image=np.full(shape, 77, np.uint8))).load(0)
    assert image.shape == (20, 30, 3) and (image == 77).all()


@pytest.mark.parametrize(
    ("image", "message"),
    [(np.zeros((20, 30, 3)), "uint8.*float64"), ([[1]], "array, got list"), (np.zeros((30, 20, 3), np.uint8), "EXIF")],
)
def test_images_that_cannot_be_used_are_named(image, message):
    with pytest.raises(ValueError, match=f"photos/0.png.*{message}"):
        from_matterport(_Blocks(_TWO, image=image)).load(0)


@pytest.mark.parametrize(
    ("masks", "class_ids", "message"),
    [
        (np.ones((20, 30, 2)), [1], r"got \(20, 30, 2\) and \(1,\) for image 'photos/0.png'"),
        (np.ones((20, 30, 2)), [], r"got \(20, 30, 2\) and \(0,\)"),
        (np.ones((20, 30)), [1], r"got \(20, 30\) and \(1,\)"),
        (
            np.ones((20, 30, 1)),
            [0],
            r"object 0 of image 'photos/0.png' has class id 0; expected 1\.\.2.* crowd -2\.\.-1",
        ),
        (np.ones((20, 30, 2)), [2, 3], "object 1 of image .* has class id 3"),
        (np.ones((20, 30, 1)), [1.5], "class id 1.5"),
        (np.ones((20, 30, 1)), ["red"], "class id 'red'"),
    ],
)
def test_masks_that_cannot_be_used_say_why(masks, class_ids, message):
    source = _Blocks(_TWO)
    source.load_mask = lambda image_id: (masks, class_ids)
    with pytest.raises(ValueError, match=message):
        from_matterport(source).load_annotations(0)
    source.load_mask = lambda image_id: (np.ones((20, 30, 1), np.uint8), np.ones(1))  # whole numbers of any type
    assert from_matterport(source).load_annotations(0).class_ids.tolist() == [0]


def test_ids_of_several_sources_stay_apart():
    source = _Blocks((), ())
    for info, name in zip(source.image_info, ("left", "right"), strict=True):
        info.update(source=name, id=7)
    source.class_info[2].update(source="right", id=1)
    dataset = from_matterport(source)
    assert [dataset.image_id(number) for number in (0, 1)] == ["left.7", "right.7"] and dataset.category_ids == (1, 2)
    source.image_info[1].update(source="left", id="8")  # evaluation cannot sort numbers among text
    assert [from_matterport(source).image_id(number) for number in (0, 1)] == ["left.7", "left.8"]
    source.image_info[1]["id"] = 7
    assert [from_matterport(source).image_id(number) for number in (0, 1)] == [0, 1]


def test_category_ids_are_the_sources():
    source = _Blocks(_TWO)
    for info, number in zip(source.class_info[1:], (18, 44), strict=True):
        info["id"] = number
    assert from_matterport(source).category_ids == (18, 44)


def test_what_is_no_such_dataset_is_named():
    with pytest.raises(ValueError, match="_Source is no dataset of matterport's: it has no load_image, load_mask"):
        from_matterport(_Source())
    source = _Blocks(_TWO)
    source.class_info = source.class_info[:1]
    with pytest.raises(ValueError, match="_Blocks has no class beside the background"):
        from_matterport(source)


def test_training_batches_have_masks():
    dataset = from_matterport(_Blocks(_TWO, ((1, 0, 0, 6, 6), (-1, 10, 10, 20, 30)), ((2, 5, 5, 9, 9),)))
    options = {"batch_size": 2, "min_side": 20, "max_side": 30, "mask_size": 8, "flip": False, "shuffle": False}
    batches = list(training_batches(dataset, repeat=False, drop_remainder=False, **options))
    assert [batch["image_index"].numpy().tolist() for batch in batches] == [[0, 2], [1]]  # by orientation
    classes, masks = batches[0]["gt_class_ids"].numpy(), batches[0]["gt_masks"].numpy()
    assert [row[row >= 0].tolist() for row in classes] == [[1, 0], [1]]
    assert (masks[0, :2] == 255).all() and (masks[1, 0] == 255).all() and not masks[1, 1:].any()
    assert (batches[1]["gt_class_ids"].numpy() >= 0).sum() == 1  # the crowd is left out
