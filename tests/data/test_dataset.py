"""A dataset of one's own: checks, views and the report."""

import numpy as np
import pytest

from mrcnn_keras.data import Dataset, ShapesDataset, make_annotations
from mrcnn_keras.data import report as report_lib


class _Boxes(Dataset):
    """Ten grey images of 20x30 with one object each; some indices are faulty on demand."""

    class_names = ("thing",)

    def __init__(self, image=None, annotations=None):
        self._image, self._annotations = image, annotations
        self.loads = 0

    def __len__(self):
        return 10

    def load_image(self, index):
        self.loads += 1
        if index == 3 and self._image is not None:
            if isinstance(self._image, Exception):
                raise self._image
            return self._image
        return np.full((20, 30, 3), index, np.uint8)

    def load_annotations(self, index):
        if index == 3 and self._annotations is not None:
            return self._annotations
        return make_annotations((20, 30), [0], boxes=[[1, 2, 11, 12]])

    def image_name(self, index):
        return f"photo-{index}"


def test_defaults_are_enough():
    dataset = _Boxes()
    image, annotations = dataset.load(2)
    assert image[0, 0, 0] == 2 and len(annotations) == 1
    assert dataset.image_id(4) == 4 and dataset.category_ids == (1,)
    loads = dataset.loads
    assert dataset.image_size(2) == dataset.image_size(2) == (20, 30)
    assert dataset.loads == loads + 1


def test_what_is_not_defined_is_named():
    for call in (lambda d: len(d), lambda d: d.load_image(0), lambda d: d.load_annotations(0)):
        with pytest.raises(NotImplementedError, match="load_image|load_annotations|__len__"):
            call(Dataset())


@pytest.mark.parametrize(
    ("faulty", "message"),
    [
        ({"image": np.zeros((20, 30, 3), np.float32)}, "RGB uint8.*float32"),
        ({"image": np.zeros((20, 30), np.uint8)}, r"\(20, 30\)"),
        ({"image": np.zeros((30, 20, 3), np.uint8)}, "EXIF"),
        ({"image": "no array"}, "str"),
        ({"image": OSError("disk on fire")}, "disk on fire"),
        ({"annotations": make_annotations((20, 30), [1], boxes=[[1, 2, 3, 4]])}, "class id 1"),
    ],
)
def test_a_broken_sample_is_an_error_with_its_name_or_a_line_of_the_report(faulty, message):
    with pytest.raises(ValueError, match=f"photo-3.*{message}.*skip_broken"):
        _Boxes(**faulty).load(3)
    dataset = _Boxes(**faulty)
    dataset.skip_broken = True
    assert dataset.load(3) is None and dataset.load(3) is None and dataset.load(4) is not None
    assert dataset.report().counts["skipped"] == 1 and "photo-3" in dataset.report().skipped[0]


def test_a_programming_error_is_not_taken_for_a_broken_image():
    with pytest.raises(KeyError):
        _Boxes(image=KeyError("typo")).load(3, skip_broken=True)


def test_views_share_images_and_report():
    dataset = _Boxes(annotations=make_annotations((20, 30), [0, 0], boxes=[[-9, 2, 3, 4], [5, 5, 5, 5]]))
    view = dataset.subset([5, 3, 7])
    assert len(view) == 3 and view.load_image(2)[0, 0, 0] == 7
    assert (view.image_id(1), view.image_name(1), view.image_size(1)) == (3, "photo-3", (20, 30))
    assert view.class_names == ("thing",) and view.category_ids == (1,)
    report = view.report(check=True)
    assert report.counts == {"repaired": 1, "dropped": 1, "skipped": 0}
    assert "photo-3" in report.repaired[0] and "1 repaired, 1 dropped" in str(report)
    inner = view.subset([1])
    assert inner.report().counts["dropped"] == 1 and view.subset([0, 2]).report().counts["dropped"] == 0
    with pytest.raises(ValueError, match=r"0\.\.9"):
        dataset.subset([10])


def test_split_is_disjoint_complete_and_repeatable():
    dataset = ShapesDataset(20)
    for first in (0.25, 5):
        small, large = dataset.split(first, seed=1)
        assert (len(small), len(large)) == (5, 15)
        assert sorted([*small.indices, *large.indices]) == list(range(20))
        np.testing.assert_array_equal(small.indices, dataset.split(first, seed=1)[0].indices)
    assert len(dataset.split(1.0)[1]) == 0
    for wrong in (1.5, 21, -1):
        with pytest.raises(ValueError, match="cannot split"):
            dataset.split(wrong)


def test_report_is_bounded_but_counts_go_on(monkeypatch):
    monkeypatch.setattr(report_lib, "MAX_MESSAGES", 3)
    log = report_lib.FaultLog()
    for index in range(10):
        log.add(index, "load", [("skipped", f"image {index}")])
        log.add(index, "load", [("skipped", "the same again")])
    report = log.report()
    assert len(report.skipped) == 3 and report.counts["skipped"] == 10
    assert "and 7 more" in str(report)
