"""What a dataset's keypoints are, and how they travel with the objects."""

import numpy as np
import pytest

from mrcnn_keras.data import COCO_PERSON, Dataset, KeypointSet, make_annotations
from mrcnn_keras.data.annotations import repair
from mrcnn_keras.data.keypoints import infer_flip

_SIZE = (20, 30)
_PAIR = KeypointSet(("left_eye", "right_eye"))


@pytest.mark.parametrize(
    ("names", "flip"),
    [
        (["nose", "left_eye", "right_eye"], (0, 2, 1)),
        (["R knee", "L knee", "neck"], (1, 0, 2)),
        (["eye_Left", "EYE_RIGHT"], (1, 0)),
        (["pawFrontLeft", "pawFrontRight", "tail"], (1, 0, 2)),
        (["left_ear", "tail"], (0, 1)),  # no partner
        (["lleft", "rright", "color", "coloL"], (0, 1, 2, 3)),  # parts of words say nothing
    ],
)
def test_partners_are_told_by_their_names(names, flip):
    assert infer_flip(names) == flip == KeypointSet(tuple(names)).flip


def test_coco_person_is_cocos():
    assert len(COCO_PERSON) == 17 and COCO_PERSON.names[0] == "nose" and COCO_PERSON.names[16] == "right_ankle"
    swapped = [COCO_PERSON.names[partner] for partner in COCO_PERSON.flip]
    assert swapped == [
        {"left": "right_", "right": "left_"}[name.split("_")[0]] + name.split("_")[1] if "_" in name else name
        for name in COCO_PERSON.names
    ]
    assert COCO_PERSON.sigmas[0] == 0.026 and COCO_PERSON.sigmas[12] == 0.107
    assert (15, 13) in COCO_PERSON.skeleton and len(COCO_PERSON.skeleton) == 19


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"names": ()}, "one or more"),
        ({"names": ("a", "a")}, "no two the same"),
        ({"flip": (0,)}, "2 indices in 0..1"),
        ({"flip": (0, 2)}, "2 indices in 0..1"),
        ({"flip": (1, 1)}, "its own inverse, but 'left_eye' becomes 'right_eye' and that becomes 'right_eye'"),
        ({"skeleton": ((0, 2),)}, r"pair \(0, 2\) is not in 0..1"),
        ({"sigmas": (0.1,)}, "sigmas must be 2"),
        ({"sigmas": (0.1, 0)}, "above 0"),
    ],
)
def test_fields_that_do_not_fit_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        KeypointSet(**{"names": ("left_eye", "right_eye"), **fields})


def test_annotations_keep_what_is_labelled():
    given = [[[3.5, 4, 2], [np.nan, 7, 0]], [[40, -3, 1], [9, 9, 0]]]
    made = make_annotations(_SIZE, [0, 0], boxes=[[1, 1, 9, 9]] * 2, keypoints=given)
    assert made.keypoints.dtype == np.float32
    np.testing.assert_array_equal(made.keypoints, [[[3.5, 4, 2], [0, 0, 0]], [[40, -3, 1], [0, 0, 0]]])
    assert made.take([1]).keypoints.tolist() == [[[40, -3, 1], [0, 0, 0]]]
    assert make_annotations(_SIZE, [], keypoints=[]).keypoints.shape[0] == 0
    assert make_annotations(_SIZE, [], keypoints=np.zeros((0, 2, 3))).keypoints.shape == (0, 2, 3)


@pytest.mark.parametrize(
    ("keypoints", "message"),
    [
        ([[1, 2, 2]], r"shape \(1, J, 3\) for 1 class_ids, got \(1, 3\)"),
        ([[[1, 2]]], r"got \(1, 1, 2\)"),
        ([[[1, 2, 2]]] * 2, r"got \(2, 1, 3\)"),
        ([[[1, 2, 3]]], "annotation 77: keypoint visibility must be 0, 1 or 2, got 3"),
        ([[[1, np.inf, 1]]], "annotation 77: a labelled keypoint is not finite"),
    ],
)
def test_wrong_keypoints_name_the_object(keypoints, message):
    with pytest.raises(ValueError, match=message):
        make_annotations(_SIZE, [0], boxes=[[1, 1, 9, 9]], ids=[77], keypoints=keypoints)


def test_repairing_boxes_leaves_each_object_its_own_keypoints():
    boxes = [[1, 1, 9, 9], [50, 1, 60, 9], [-5, 1, 9, 99]]
    points = np.array([[[k + 0.5, 99, 2]] for k in range(3)])
    kept, _ = repair(make_annotations(_SIZE, [0] * 3, boxes=boxes, keypoints=points))
    assert kept.keypoints.tolist() == [[[0.5, 99, 2]], [[2.5, 99, 2]]]


class _Eyes(Dataset):
    """Images with objects of so many labelled eyes each; a crowd where the number is negative."""

    keypoints = _PAIR

    def __init__(self, *images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def load_image(self, index):
        return np.zeros((*_SIZE, 3), np.uint8)

    def load_annotations(self, index):
        if self.images[index] is None:
            raise ValueError("no annotations")
        counts = np.array(self.images[index], int).reshape(-1)
        points = np.array([[[5, 5, k < abs(count)] for k in range(2)] for count in counts]).reshape(-1, 2, 3)
        boxes = [[1, 1, 9, 9]] * len(counts)
        return make_annotations(_SIZE, [0] * len(counts), boxes=boxes, keypoints=points, is_crowd=counts < 0)


def test_with_keypoints_keeps_the_images_with_enough():
    dataset = _Eyes([0, 1], [], [0], [2, 1], [-2], [1])
    assert dataset.with_keypoints().indices.tolist() == [0, 3, 5]
    assert dataset.with_keypoints(min_labelled=2).indices.tolist() == [3]
    view = dataset.subset([5, 4, 3]).with_keypoints()
    assert view.keypoints is _PAIR and [view.image_id(index) for index in range(len(view))] == [5, 3]
    assert dataset.split(3)[0].keypoints is _PAIR


def test_with_keypoints_says_why_nothing_is_left():
    with pytest.raises(ValueError, match="none of 2 images has 3 or more"):
        _Eyes([1], [2]).with_keypoints(3)
    with pytest.raises(ValueError, match="has no keypoints: its attribute `keypoints` is None"):
        Dataset().with_keypoints()
    with pytest.raises(ValueError, match="min_labelled must be at least 1, got 0"):
        _Eyes([1]).with_keypoints(0)


def test_with_keypoints_skips_broken_images_where_the_dataset_does():
    dataset = _Eyes([1], None)
    with pytest.raises(ValueError, match="no annotations"):
        dataset.with_keypoints()
    dataset.skip_broken = True
    assert dataset.with_keypoints().indices.tolist() == [0]


def test_objects_must_have_the_datasets_keypoints():
    dataset = _Eyes([1])
    dataset.keypoints = KeypointSet(("nose", "mouth", "chin"))
    with pytest.raises(ValueError, match="image '0': its objects have 2 keypoints, the dataset has 3"):
        dataset.load(0)
    dataset.load_annotations = lambda index: make_annotations(_SIZE, [0], boxes=[[1, 1, 9, 9]])
    with pytest.raises(ValueError, match="its objects have no keypoints, the dataset has 3"):
        dataset.load(0)
    dataset.load_annotations = lambda index: make_annotations(_SIZE, [])
    assert len(dataset.load(0)[1]) == 0
