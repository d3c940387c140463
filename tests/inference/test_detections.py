import dataclasses
import json
import sys
import types

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mrcnn_keras.inference import Detections

NAMES = ("person", "dog")


@pytest.fixture
def found():
    masks = np.zeros((3, 30, 40), bool)
    masks[0, 2:20, 3:13] = masks[1, 5:9, 20:30] = masks[2, 0:30, 35:40] = True
    return Detections(
        boxes=[[3, 2, 13, 20], [20, 5, 30, 9], [35, 0, 40, 30]],
        scores=[0.98, 0.81, 0.3],
        class_ids=[0, 1, 0],
        class_names=NAMES,
        masks=masks,
        image=np.full((30, 40, 3), 90, np.uint8),
    )


def test_types_and_size(found):
    assert found.boxes.dtype == found.scores.dtype == np.float32 and found.masks.dtype == bool
    assert found.size == (30, 40) and len(found) == 3 and found.names == ["person", "dog", "person"]


def test_repr_names_what_was_found(found):
    assert repr(found) == "3 detections: person 0.98, dog 0.81, person 0.30"
    assert repr(found[0]) == "1 detection: person 0.98"
    assert repr(found[:0]) == "no detections"
    many = found[[0] * 7]
    assert repr(many).startswith("7 detections: person 0.98,") and repr(many).endswith("and 2 more")


@pytest.mark.parametrize("form", ["masks", "rles"])
def test_filtering_keeps_everything_together(found, form):
    if form == "rles":
        found = Detections(found.boxes, found.scores, found.class_ids, NAMES, rles=found.to_rles(), size=found.size)
    kept = found[found.scores > 0.5]
    assert kept.names == ["person", "dog"] and kept.size == (30, 40)
    np.testing.assert_array_equal(kept.to_masks(), found.to_masks()[:2])
    assert found[::-1].names == found[[2, 1, 0]].names
    assert found[-1].boxes.tolist() == [[35, 0, 40, 30]]
    assert found[np.zeros(3, bool)].to_masks().shape == (0, 30, 40)


def test_iteration_gives_each_one(found):
    assert [(len(one), one.names[0]) for one in found] == [(1, "person"), (1, "dog"), (1, "person")]


@pytest.mark.parametrize("index", [3, [True, False], "a"])
def test_wrong_index_is_an_error(found, index):
    with pytest.raises(IndexError):
        found[index]


def test_coco_results_survive_json(found):
    results = json.loads(json.dumps(found.to_coco(17, category_ids=[1, 18])))
    assert [r["category_id"] for r in results] == [1, 18, 1] and {r["image_id"] for r in results} == {17}
    assert results[1]["bbox"] == [20, 5, 10, 4] and results[0]["score"] == pytest.approx(0.98)
    np.testing.assert_array_equal(mask_utils.decode(results[0]["segmentation"]), found.masks[0])
    assert [r["category_id"] for r in found.to_coco(17)] == [1, 2, 1]


def test_coco_results_of_boxes_only_have_no_masks(found):
    boxes_only = Detections(found.boxes, found.scores, found.class_ids, NAMES, size=found.size)
    assert "segmentation" not in boxes_only.to_coco(1)[0]
    assert boxes_only.to_masks() is None and boxes_only.to_rles() is None and not boxes_only.has_masks


def test_coco_keypoints_count_from_the_pixel_centre():
    found = Detections([[0, 0, 9, 9]], [1], [0], NAMES, keypoints=[[[3.5, 4.5, 0.9], [7.5, 8.5, 0.8]]], size=(9, 9))
    assert found.to_coco(1)[0]["keypoints"] == pytest.approx([3, 4, 0.9, 7, 8, 0.8])


def test_keypoint_names_and_limbs_stay_with_the_keypoints():
    points = np.zeros((2, 2, 3))
    named = {"keypoint_names": ["head", "foot"], "keypoint_skeleton": [[0, 1]]}
    found = Detections([[0, 0, 9, 9]] * 2, [1, 1], [0, 0], NAMES, keypoints=points, size=(9, 9), **named)
    assert found[1].keypoint_names == ("head", "foot") and found[1].keypoint_skeleton == ((0, 1),)
    for wrong, message in (
        ({"keypoint_names": ("head",)}, "2 keypoints, but 1 keypoint_names"),
        ({"keypoint_skeleton": ((0, 2),)}, r"limb \(0, 2\) .* is not in 0..1"),
        ({"keypoints": np.zeros((2, 4))}, r"keypoints of shape \(2, 4\); expected \(2, P, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(found, **wrong)


def test_category_ids_must_fit_the_classes(found):
    with pytest.raises(ValueError, match="1 category_ids for 2 classes"):
        found.to_coco(1, category_ids=[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": [0.5]}, "3 boxes, but 1 scores"),
        ({"class_ids": [0, 1, 2]}, "2 class_names"),
        ({"masks": np.zeros((3, 10, 10), bool)}, r"\(3, 10, 10\) for an image of size \(30, 40\)"),
    ],
)
def test_arrays_that_do_not_belong_together(found, changes, message):
    fields = {name: getattr(found, name) for name in ("boxes", "scores", "class_ids", "class_names", "masks", "size")}
    with pytest.raises(ValueError, match=message):
        Detections(**{**fields, **changes})


def test_plot_without_an_image_says_what_to_do(found):
    bare = Detections(found.boxes, found.scores, found.class_ids, NAMES, masks=found.masks)
    with pytest.raises(ValueError, match=r"found.plot\(image\)"):
        bare.plot()


def test_notebook_shows_the_picture(found):
    assert found._repr_png_().startswith(b"\x89PNG")
    assert Detections(found.boxes, found.scores, found.class_ids, NAMES)._repr_png_() is None


def test_supervision_absent_names_the_remedy(found, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install supervision"):
        found.to_supervision()


def test_supervision_gets_every_field(found, monkeypatch):
    fake = types.SimpleNamespace(Detections=lambda **fields: fields)
    monkeypatch.setitem(sys.modules, "supervision", fake)
    fields = found.to_supervision()
    np.testing.assert_array_equal(fields["xyxy"], found.boxes)
    np.testing.assert_array_equal(fields["mask"], found.masks)
    assert fields["class_id"].tolist() == [0, 1, 0] and list(fields["data"]["class_name"]) == found.names
