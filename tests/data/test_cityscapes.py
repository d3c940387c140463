"""Cityscapes' folders and files."""

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.data import CityscapesDataset
from mrcnn_keras.data.rle import columns

from ..cityscapes_files import SIZE, VAL, instance_image, paths, write_cityscapes

NAMES = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")


@pytest.fixture
def root(tmp_path):
    return write_cityscapes(tmp_path / "cityscapes")


def _masks(annotations):
    return [columns(mask, 0, SIZE[1]).T.astype(bool) for mask in annotations.masks]


def test_images_and_classes_are_named_as_in_the_archives(root):
    dataset = CityscapesDataset(root, "val")
    assert len(dataset) == 4 and dataset.class_names == NAMES
    assert dataset.category_ids == (24, 25, 26, 27, 28, 31, 32, 33)
    assert [dataset.image_id(i) for i in range(4)] == list(VAL)
    assert dataset.image_name(0) == "frankfurt_000000_000294_leftImg8bit.png"
    assert dataset.image_size(3) == SIZE and dataset.load_image(3)[0, 0].tolist() == [3, 3, 3]


def test_objects_are_the_visible_pixels_of_each_instance(root):
    image, annotations = CityscapesDataset(root, "val").load(0)
    assert image.shape == (*SIZE, 3)
    assert annotations.ids == [24000, 24001, 26000, 26001, 33000] and not annotations.is_crowd.any()
    assert [NAMES[i] for i in annotations.class_ids] == ["person", "person", "car", "car", "bicycle"]
    labels = instance_image(VAL["frankfurt_000000_000294"])
    for mask, value in zip(_masks(annotations), annotations.ids, strict=True):
        np.testing.assert_array_equal(mask, labels == value)
    np.testing.assert_array_equal(annotations.boxes[3], [30, 30, 70, 70])
    assert annotations.areas.tolist()[:2] == [30 * 80, 60] and annotations.areas[2] == 40 * 40 - 15 * 30


def test_groups_are_crowds_and_ignored_classes_are_no_objects(root):
    annotations = CityscapesDataset(root, "val").load_annotations(1)
    assert annotations.ids == [26, 25000, 26000, 32000]  # the caravan is left out
    assert annotations.is_crowd.tolist() == [True, False, False, False]
    assert [NAMES[i] for i in annotations.class_ids] == ["car", "rider", "car", "motorcycle"]


def test_an_image_without_objects_is_a_negative(root):
    annotations = CityscapesDataset(root, "val").load(2)[1]
    assert len(annotations) == 0 and annotations.masks == [] and annotations.size == SIZE


@pytest.mark.parametrize("name", VAL)
def test_polygons_are_drawn_where_there_is_no_instance_image(root, name):
    dataset, index = CityscapesDataset(root, "val"), list(VAL).index(name)
    expected = dataset.load_annotations(index)
    paths(root, "val", name)[1].unlink()
    drawn = CityscapesDataset(root, "val")
    found = drawn.load(index)[1]
    assert found.ids == expected.ids and found.masks == expected.masks
    np.testing.assert_array_equal(drawn.instance_ids(index), instance_image(VAL[name]))
    path = drawn.instance_ids_file(index, root)
    assert path == root / f"{name}_gtFine_instanceIds.png"
    np.testing.assert_array_equal(np.array(Image.open(path)), instance_image(VAL[name]))


def test_the_instance_image_counts_where_both_are_there(root):
    name = "frankfurt_000000_000294"
    _, instance_ids, polygons = paths(root, "val", name)
    polygons.write_text("damaged")
    dataset = CityscapesDataset(root, "val")
    assert len(dataset.load_annotations(0)) == 5 and dataset.instance_ids_file(0, root) == instance_ids


def test_splits_together_and_the_test_split_without_labels(root):
    both = CityscapesDataset(root, ("train", "val"))
    assert [both.image_id(i) for i in (0, 1, 2)] == [
        "aachen_000000_000019",
        "bochum_000000_000313",
        "frankfurt_000000_000294",
    ]
    hidden = CityscapesDataset(root, "test")
    image, annotations = hidden.load(0)
    assert image.shape == (*SIZE, 3) and len(annotations) == 0 and not hidden.has_labels(0)
    with pytest.raises(ValueError, match="berlin_000000_000019_leftImg8bit.png has no labels"):
        hidden.instance_ids(0)


def test_train_is_the_default_and_fit_to_train_on(root):
    dataset = CityscapesDataset(root)
    assert [len(dataset.load_annotations(i)) for i in range(2)] == [5, 0]
    assert dataset.report(check=True).counts == {"repaired": 0, "dropped": 0, "skipped": 0}


def test_a_photo_without_labels_is_named_or_left_out(root):
    for path in paths(root, "val", "lindau_000003_000019")[1:]:
        path.unlink()
    with pytest.raises(ValueError, match="lindau_000003_000019_leftImg8bit.png has no labels.*skip_broken"):
        CityscapesDataset(root, "val")
    dataset = CityscapesDataset(root, "val", skip_broken=True)
    assert len(dataset) == 3 and "lindau_000003_000019" in dataset.report().skipped[0]


def test_broken_files_are_named_or_skipped(root):
    paths(root, "val", "frankfurt_000000_000294")[1].write_bytes(b"junk")
    paths(root, "val", "munster_000173_000019")[0].write_bytes(b"")
    with pytest.raises(ValueError, match="munster_000173_000019_leftImg8bit.png: the file is empty"):
        CityscapesDataset(root, "val")
    dataset = CityscapesDataset(root, "val", skip_broken=True)
    assert len(dataset) == 3 and dataset.load(0) is None and dataset.load(1) is not None
    assert "frankfurt_000000_000294_gtFine_instanceIds.png" in str(dataset.report())


def test_a_label_image_of_another_size_names_both_files(root):
    path = paths(root, "val", "lindau_000003_000019")[1]
    Image.fromarray(np.zeros((10, 20), np.uint16)).save(path)
    with pytest.raises(ValueError, match=r"lindau_000003_000019_gtFine_instanceIds.png.*\(10, 20\).*leftImg8bit.png"):
        CityscapesDataset(root, "val").load_annotations(2)


@pytest.mark.parametrize("value", [34, 999, 7000, 34000, 65535])
def test_an_id_of_no_label_is_named(root, value):
    path = paths(root, "val", "lindau_000003_000019")[1]
    Image.fromarray(np.full(SIZE, value, np.uint16)).save(path)
    with pytest.raises(ValueError, match=f"lindau_000003_000019_gtFine_instanceIds.png: instance id {value} is"):
        CityscapesDataset(root, "val").load_annotations(2)


def _square(label="car", points=4):
    return {"label": label, "polygon": [[10, 10], [40, 10], [40, 40], [10, 40]][:points]}


FRAME = {"imgHeight": SIZE[0], "imgWidth": SIZE[1]}


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "cannot read polygons .*lindau_000003_000019_gtFine_polygons.json: JSONDecodeError"),
        (json.dumps({**FRAME}), "cannot read polygons .*lindau.*: KeyError: 'objects'"),
        (json.dumps({"imgHeight": 20, "imgWidth": 10, "objects": []}), r"are for \(height, width\) = \(20, 10\)"),
        (json.dumps({**FRAME, "objects": [_square(), _square("cow")]}), "lindau.*object 1 has the label 'cow'"),
        (json.dumps({**FRAME, "objects": [_square(points=1)]}), r"lindau.*object 0 \(car\) has 1 points"),
        (json.dumps({**FRAME, "objects": [{"label": "car", "polygon": [["a", 1], ["b", 2]]}]}), "cannot draw .*lindau"),
    ],
    ids=["no JSON", "no objects", "another size", "unknown label", "one point", "no numbers"],
)
def test_broken_polygons_are_named(root, content, message):
    _, instance_ids, polygons = paths(root, "val", "lindau_000003_000019")
    instance_ids.unlink()
    polygons.write_text(content)
    with pytest.raises(ValueError, match=message):
        CityscapesDataset(root, "val").load_annotations(2)


def test_deleted_polygons_are_not_drawn(root):
    _, instance_ids, polygons = paths(root, "val", "lindau_000003_000019")
    instance_ids.unlink()
    polygons.write_text(json.dumps({**FRAME, "objects": [{**_square("cow", 0), "deleted": 1}, _square()]}))
    assert CityscapesDataset(root, "val").load_annotations(2).ids == [26000]


def test_a_wrong_split_or_root_says_what_belongs_there(root):
    with pytest.raises(ValueError, match="split='train_extra': expected 'train', 'val' or 'test'"):
        CityscapesDataset(root, "train_extra")
    with pytest.raises(ValueError, match=r"must hold leftImg8bit/val/<city>.*gtFine/val/<city>"):
        CityscapesDataset(root / "gtFine", "val")
    shutil.rmtree(root / "leftImg8bit" / "val")
    (root / "leftImg8bit" / "val").mkdir()
    with pytest.raises(ValueError, match="no photo .*split='val'"):
        CityscapesDataset(root, "val")


def test_what_to_install_is_said(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "cityscapesscripts.helpers.labels", None)
    with pytest.raises(ImportError, match=r"pip install mrcnn-keras\[cityscapes\]"):
        CityscapesDataset(root)
