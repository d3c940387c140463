"""COCO files: every kind of segmentation, every kind of fault."""

import json

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.data import CocoDataset, rle

_SIZE = (40, 60)


def _mask(x1, y1, x2, y2):
    mask = np.zeros(_SIZE, bool)
    mask[y1:y2, x1:x2] = True
    return mask


def _annotation(number, image_id=7, category_id=3, **fields):
    square = {"segmentation": [[5, 5, 15, 5, 15, 15, 5, 15]], "bbox": [5, 5, 10, 10], "area": 100, "iscrowd": 0}
    return {"id": number, "image_id": image_id, "category_id": category_id, **square, **fields}


def _compressed(mask):
    encoded = rle.encode(mask)
    return {"size": list(mask.shape), "counts": encoded["counts"].decode()}


def _write(tmp_path, annotations, text=None, **changes):
    folder = tmp_path / "images"
    folder.mkdir(exist_ok=True)
    names = ["one.jpg", "zwölf.png", "three.jpg"]
    for name in names:
        Image.new("RGB", _SIZE[::-1], (90, 60, 30)).save(folder / name)
    content = {
        "info": {"year": 2020, "numbers": [1.5, -2e3], "nothing": None},
        "annotations": annotations,
        "images": [
            {"id": number, "file_name": name, "height": _SIZE[0], "width": _SIZE[1]}
            for number, name in zip((7, 2, 30), names, strict=True)
        ],
        "categories": [{"id": 90, "name": "Öl"}, {"id": 3, "name": "cat"}, {"id": 11, "name": "dog"}],
        **changes,
    }
    path = tmp_path / "annotations.json"
    path.write_text(text or json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder, path


def test_categories_images_and_order(tmp_path):
    annotations = [_annotation(1, 30, 90), _annotation(2, 7, 3), _annotation(3, 30, 11)]
    dataset = CocoDataset(*_write(tmp_path, annotations))
    assert dataset.class_names == ("cat", "dog", "Öl") and dataset.category_ids == (3, 11, 90)
    assert [dataset.image_id(index) for index in range(3)] == [7, 2, 30]
    assert dataset.image_name(1) == "zwölf.png" and dataset.image_size(1) == _SIZE
    assert [dataset.load_annotations(index).ids for index in range(3)] == [[2], [], [1, 3]]  # image 2 is a negative
    assert dataset.load_annotations(2).class_ids.tolist() == [2, 1]
    assert dataset.load(1)[0].shape == (*_SIZE, 3)


def test_polygons_and_both_kinds_of_rle_and_crowds(tmp_path):
    square, bar = _mask(5, 5, 15, 15), _mask(20, 0, 25, 40)
    counts = [20 * 40, 5 * 40, 35 * 40]
    annotations = [
        _annotation(1),
        _annotation(2, segmentation=_compressed(square)),
        _annotation(3, segmentation={"size": list(_SIZE), "counts": counts}, iscrowd=1, bbox=[20, 0, 5, 40]),
    ]
    found = CocoDataset(*_write(tmp_path, annotations)).load_annotations(0)
    assert found.is_crowd.tolist() == [False, False, True]
    for mask, expected in zip(found.masks, (square, square, bar), strict=True):
        np.testing.assert_array_equal(rle.columns(mask, 0, 60).T, expected)


def test_boxes_are_the_files_or_the_masks(tmp_path):
    with_box, without = _annotation(1, bbox=[4.5, 5.25, 11, 9.5]), _annotation(2)
    del without["bbox"], without["area"]
    found = CocoDataset(*_write(tmp_path, [with_box, without])).load_annotations(0)
    np.testing.assert_allclose(found.boxes, [[4.5, 5.25, 15.5, 14.75], [5, 5, 15, 15]])
    assert found.areas.tolist() == [100, 100]


def test_boxes_without_masks_are_a_dataset_too(tmp_path):
    annotations = [_annotation(1, segmentation=[]), _annotation(2, segmentation=None)]
    assert CocoDataset(*_write(tmp_path, annotations)).load_annotations(0).masks is None
    mixed = CocoDataset(*_write(tmp_path, [*annotations, _annotation(3)]))
    with pytest.raises(ValueError, match="annotation 1 of image 'one.jpg'.*no segmentation"):
        mixed.load(0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"segmentation": [[1, 2, 3, 4]]}, "4 numbers"),
        ({"segmentation": {"size": [60, 40], "counts": [2400]}}, "RLE size"),
        ({"segmentation": {"size": [40, 60], "counts": "~~"}}, "damaged"),
        ({"segmentation": "oops"}, "segmentation"),
        ({"bbox": [1, 2, 3]}, "bbox"),
        ({"bbox": [1, 2, 3, "4"]}, "bbox"),
        ({"segmentation": None, "bbox": None}, "no segmentation"),
    ],
)
def test_a_broken_annotation_is_named_or_skipped(tmp_path, fields, message):
    folder, path = _write(tmp_path, [_annotation(41), _annotation(42, **fields)])
    with pytest.raises(ValueError, match=f"annotation 42 of image 'one.jpg' in .*annotations.json.*{message}"):
        CocoDataset(folder, path).load_annotations(0)
    dataset = CocoDataset(folder, path, skip_broken=True)
    assert dataset.load(0)[1].ids == [41]
    assert "annotation 42" in dataset.report().skipped[0] and dataset.report().counts["skipped"] == 1


def test_unknown_category_and_image_are_named_or_skipped(tmp_path):
    folder, path = _write(tmp_path, [_annotation(1), _annotation(2, category_id=4), _annotation(3, image_id=99)])
    with pytest.raises(ValueError, match="annotation 2 has category_id 4.*1 more"):
        CocoDataset(folder, path)
    dataset = CocoDataset(folder, path, skip_broken=True)
    assert dataset.load_annotations(0).ids == [1]
    assert "image id 99" in str(dataset.report()) and dataset.report().counts["skipped"] == 2


def test_missing_image_files_are_named_at_once_or_skipped(tmp_path):
    folder, path = _write(tmp_path, [_annotation(1), _annotation(2, image_id=30)])
    (folder / "one.jpg").unlink()
    with pytest.raises(ValueError, match="one.jpg does not exist"):
        CocoDataset(folder, path)
    dataset = CocoDataset(folder, path, skip_broken=True)
    assert [dataset.image_id(index) for index in range(len(dataset))] == [2, 30]
    assert dataset.load_annotations(1).ids == [2] and "one.jpg" in str(dataset.report())


def test_degenerate_boxes_are_left_to_training_to_drop(tmp_path):
    annotations = [_annotation(1, bbox=[5, 5, 0, 10]), _annotation(2, bbox=[-3, 5, 80, 10]), _annotation(3)]
    dataset = CocoDataset(*_write(tmp_path, annotations))
    assert dataset.load_annotations(0).ids == [1, 2, 3]
    report = dataset.report(check=True)
    assert report.counts == {"repaired": 1, "dropped": 1, "skipped": 0}
    assert "annotation 1" in report.dropped[0] and "annotation 2" in report.repaired[0]


def test_a_file_that_disagrees_on_the_image_size_is_an_error(tmp_path):
    sizes = [{"id": 7, "file_name": "one.jpg", "height": 60, "width": 40}]
    dataset = CocoDataset(*_write(tmp_path, [], images=sizes))
    with pytest.raises(ValueError, match=r"one.jpg.*\(40, 60\).*\(60, 40\)"):
        dataset.load(0)


def test_sizes_may_be_missing_from_the_file(tmp_path):
    dataset = CocoDataset(*_write(tmp_path, [_annotation(1)], images=[{"id": 7, "file_name": "one.jpg"}]))
    assert dataset.image_size(0) == _SIZE and len(dataset.load(0)[1]) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": '{"images": [{"id": 1,, }]}'}, "not valid COCO JSON at byte"),
        ({"text": '{"images": [{"id": 1'}, "not valid COCO JSON"),
        ({"text": "[1, 2]"}, "expected '{'"),
        ({"images": {"id": 1}}, "'images' must be a list"),
        ({"images": []}, "no 'images'"),
        ({"categories": []}, "no 'categories'"),
        ({"images": [{"id": 1}]}, "'file_name' is missing"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "comes twice"),
    ],
)
def test_files_that_are_not_coco_say_where(tmp_path, changes, message):
    folder, path = _write(tmp_path, [], **changes)
    with pytest.raises(ValueError, match=f"annotations.json.*{message}"):
        CocoDataset(folder, path)


def test_folder_and_file_must_exist(tmp_path):
    folder, path = _write(tmp_path, [])
    with pytest.raises(ValueError, match="image_dir=.*nowhere"):
        CocoDataset(tmp_path / "nowhere", path)
    with pytest.raises(ValueError, match="nothing.json does not exist"):
        CocoDataset(folder, tmp_path / "nothing.json")


@pytest.mark.shared
@pytest.mark.parametrize("part", ["train2017", "val2017"])
def test_real_coco_agrees_with_pycocotools(shared_dir, part):
    from pycocotools.coco import COCO

    root = shared_dir / "data" / "coco_tiny"
    file = root / "annotations" / f"instances_{part}.json"
    dataset, reference = CocoDataset(root / part, file), COCO(file)
    assert list(dataset.category_ids) == sorted(reference.getCatIds())
    for index in range(len(dataset)):
        found = dataset.load_annotations(index)
        expected = {one["id"]: one for one in reference.imgToAnns[dataset.image_id(index)]}
        assert sorted(found.ids) == sorted(expected)
        for row, annotation_id in enumerate(found.ids):
            truth = expected[annotation_id]
            np.testing.assert_array_equal(rle.columns(found.masks[row], 0, found.size[1]).T, reference.annToMask(truth))
            assert dataset.category_ids[found.class_ids[row]] == truth["category_id"]
            assert found.is_crowd[row] == truth["iscrowd"]
            x, y, width, height = truth["bbox"]
            np.testing.assert_allclose(found.boxes[row], [x, y, x + width, y + height], atol=1e-3)
    assert sum(dataset.report(check=True).counts.values()) == 0
