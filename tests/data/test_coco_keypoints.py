"""Keypoints and chosen categories of COCO files."""

import json

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.data import COCO_PERSON, CocoDataset

_NAMES = ["left_hand", "right_hand", "head"]
_PERSON = {"id": 1, "name": "person", "keypoints": _NAMES, "skeleton": [[1, 3], [2, 3]]}
_DOG = {"id": 5, "name": "dog"}


def _annotation(number, category_id=1, **fields):
    square = {"segmentation": [[5, 5, 15, 5, 15, 15, 5, 15]], "bbox": [5, 5, 10, 10], "area": 100, "iscrowd": 0}
    return {"id": number, "image_id": 7, "category_id": category_id, **square, **fields}


def _write(tmp_path, annotations, categories=(_PERSON, _DOG)):
    Image.new("RGB", (60, 40)).save(tmp_path / "one.png")
    images = [{"id": 7, "file_name": "one.png", "height": 40, "width": 60}]
    content = {"images": images, "annotations": annotations, "categories": list(categories)}
    (tmp_path / "people.json").write_text(json.dumps(content))
    return tmp_path, tmp_path / "people.json"


def test_keypoints_are_read_in_continuous_coordinates(tmp_path):
    annotations = [
        _annotation(1, keypoints=[3, 4, 2, 0, 0, 0, 7.25, 8, 1], num_keypoints=2),
        _annotation(2, 5, keypoints=[9, 9]),  # not a category with keypoints
        _annotation(3, iscrowd=1),
        _annotation(4, keypoints=[]),
    ]
    dataset = CocoDataset(*_write(tmp_path, annotations))
    assert dataset.keypoints.names == tuple(_NAMES) and dataset.keypoints.flip == (1, 0, 2)
    assert dataset.keypoints.skeleton == ((0, 2), (1, 2)) and dataset.keypoints.sigmas == ()
    found = dataset.load(0)[1].keypoints
    np.testing.assert_array_equal(found[0], [[3.5, 4.5, 2], [0, 0, 0], [7.75, 8.5, 1]])
    assert found.shape == (4, 3, 3) and not found[1:].any()


def test_sigmas_may_stand_in_the_file(tmp_path):
    files = _write(tmp_path, [], [{**_PERSON, "sigmas": [0.06, 0.06, 0.04]}])
    assert CocoDataset(*files).keypoints.sigmas == (0.06, 0.06, 0.04)


def test_an_image_without_objects_has_keypoints_of_no_object(tmp_path):
    assert CocoDataset(*_write(tmp_path, [])).load(0)[1].keypoints.shape == (0, 3, 3)


def test_files_without_keypoints_have_none(tmp_path):
    dataset = CocoDataset(*_write(tmp_path, [_annotation(1, 5)], [_DOG, {**_PERSON, "keypoints": []}]))
    assert dataset.keypoints is None and dataset.load(0)[1].keypoints is None


def test_classes_chooses_categories_in_that_order(tmp_path):
    annotations = [_annotation(1, 1), _annotation(2, 5), _annotation(3, 8)]
    files = _write(tmp_path, annotations, [_PERSON, _DOG, {"id": 8, "name": "cat"}])
    dogs = CocoDataset(*files, classes=("dog",))
    assert dogs.class_names == ("dog",) and dogs.category_ids == (5,) and dogs.keypoints is None
    assert dogs.load_annotations(0).ids == [2] and not any(dogs.report().counts.values())
    pair = CocoDataset(*files, classes=["cat", "person"])
    assert pair.category_ids == (8, 1) and pair.keypoints.names == tuple(_NAMES)
    found = pair.load_annotations(0)
    assert found.ids == [1, 3] and found.class_ids.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("people",), "people.json has no category 'people'; it has 'person', 'dog'"),
        ("person", "must be a list of names.*'person'"),
        ((), "must be a list of names"),
        (("dog", "dog"), "no two the same"),
    ],
)
def test_wrong_classes_are_named(tmp_path, classes, message):
    with pytest.raises(ValueError, match=message):
        CocoDataset(*_write(tmp_path, []), classes=classes)


def test_categories_with_different_keypoints_cannot_be_mixed(tmp_path):
    files = _write(tmp_path, [_annotation(1, keypoints=[1, 1, 2] * 3)], [_PERSON, {**_DOG, "keypoints": ["tail"]}])
    assert CocoDataset(*files).keypoints is None and CocoDataset(*files).load(0)[1].keypoints is None
    assert CocoDataset(*files, classes=("person",)).keypoints.names == tuple(_NAMES)


def test_a_skeleton_that_counts_from_zero_is_named_or_skipped(tmp_path):
    files = _write(tmp_path, [], [{**_PERSON, "skeleton": [[0, 2]]}])
    with pytest.raises(ValueError, match="people.json: category 'person' has unusable keypoints.*from 1 on"):
        CocoDataset(*files)
    lenient = CocoDataset(*files, skip_broken=True)
    assert lenient.keypoints is None and "unusable keypoints" in lenient.report().skipped[0]


@pytest.mark.parametrize(
    ("keypoints", "message"),
    [
        ([1, 2, 2], "3 numbers; 3 keypoints need 9"),
        ([1, 2, 2] * 4, "12 numbers; 3 keypoints need 9"),
        (["1", 2, 2] * 3, "list of numbers"),
        ({"head": [1, 2]}, "list of numbers"),
        ([1, 2, 7] * 3, "visibility must be 0, 1 or 2, got 7"),
        ([float("nan"), 2, 2] * 3, "not finite"),
    ],
)
def test_broken_keypoints_are_named_or_skipped(tmp_path, keypoints, message):
    files = _write(tmp_path, [_annotation(41, keypoints=[1, 1, 2] * 3), _annotation(42, keypoints=keypoints)])
    with pytest.raises(
        ValueError, match=f"annotation 42 of image 'one.png' in .*people.json: .*{message}.*skip_broken"
    ):
        CocoDataset(*files).load(0)
    lenient = CocoDataset(*files, skip_broken=True)
    assert lenient.load(0)[1].ids == [41] and lenient.report().counts["skipped"] == 1
    assert len(lenient.with_keypoints()) == 1


def _people(shared_dir):
    root = shared_dir / "data" / "coco_keypoints"
    return root / "train2017", root / "annotations" / "person_keypoints_train2017.json"


@pytest.mark.shared
def test_real_people(shared_dir):
    from pycocotools.coco import COCO

    images, file = _people(shared_dir)
    dataset, reference = CocoDataset(images, file), COCO(file)
    assert dataset.keypoints == COCO_PERSON
    labelled = []
    for index in range(len(dataset)):
        found = dataset.load_annotations(index)
        expected = {one["id"]: one for one in reference.imgToAnns[dataset.image_id(index)]}
        assert sorted(found.ids) == sorted(expected)
        for annotation_id, points in zip(found.ids, found.keypoints, strict=True):
            truth = np.array(expected[annotation_id]["keypoints"]).reshape(17, 3)
            seen = truth[:, 2] > 0
            np.testing.assert_array_equal(points[:, 2], truth[:, 2])
            np.testing.assert_array_equal(points[seen, :2], truth[seen, :2] + 0.5)
            assert not points[~seen].any() and seen.sum() == expected[annotation_id]["num_keypoints"]
        labelled.append(sum(one["num_keypoints"] for one in expected.values() if not one["iscrowd"]))
    assert dataset.with_keypoints().indices.tolist() == np.flatnonzero(labelled).tolist()
    assert dataset.with_keypoints(30).indices.tolist() == np.flatnonzero(np.array(labelled) >= 30).tolist()


@pytest.mark.shared
def test_people_of_the_instances_file_are_those_of_the_keypoints_file(shared_dir):
    images, file = _people(shared_dir)
    instances = CocoDataset(images, file.with_name("instances_train2017.json"), classes=("person",))
    people = CocoDataset(images, file)
    assert instances.class_names == people.class_names and instances.category_ids == people.category_ids
    ids = [sorted(one.load_annotations(index).ids for index in range(len(one))) for one in (instances, people)]
    assert sorted(sum(ids[0], [])) == sorted(sum(ids[1], []))
