"""What a user's dataset hands over, and how faulty boxes are repaired."""

import numpy as np
import pytest

from mrcnn_keras.data import make_annotations
from mrcnn_keras.data.annotations import repair
from mrcnn_keras.data.rle import columns


def _square(size, x1, y1, x2, y2):
    mask = np.zeros(size, bool)
    mask[y1:y2, x1:x2] = True
    return mask


def test_boxes_come_from_masks_of_any_kind():
    mask = _square((20, 30), 4, 5, 12, 9)
    polygon = [[4, 5, 12, 5, 12, 9, 4, 9]]
    for given in ({"masks": [mask]}, {"masks": mask[None] * 255}, {"polygons": [polygon]}):
        made = make_annotations((20, 30), [2], **given)
        np.testing.assert_array_equal(made.boxes, [[4, 5, 12, 9]])
        np.testing.assert_array_equal(columns(made.masks[0], 0, 30).T, mask)
        assert made.class_ids.dtype == np.int32 and made.boxes.dtype == np.float32 and made.areas.tolist() == [32]


def test_boxes_alone_and_no_objects_are_fine():
    only_boxes = make_annotations((20, 30), [0, 1], boxes=[[1, 2, 5, 9], [0, 0, 30, 20]])
    assert only_boxes.masks is None and only_boxes.areas.tolist() == [28, 600]
    for empty in (make_annotations((20, 30), [], masks=[]), make_annotations((20, 30), [])):
        assert len(empty) == 0 and empty.boxes.shape == (0, 4) and empty.is_crowd.dtype == bool


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_ids": [0.5], "boxes": [[0, 0, 1, 1]]}, "class_ids"),
        ({"class_ids": [-1], "boxes": [[0, 0, 1, 1]]}, "class_ids"),
        ({"class_ids": [0]}, "none was given"),
        ({"class_ids": [0], "boxes": [[0, 0, 1]]}, r"\(1, 4\)"),
        ({"class_ids": [0, 1], "masks": [np.ones((20, 30))]}, "masks has 1 entries for 2"),
        ({"class_ids": [0], "masks": [np.ones((30, 20))], "ids": [77]}, "annotation 77.*shape"),
        ({"class_ids": [0], "polygons": [[[1, 2, 3]]], "ids": [77]}, "annotation 77.*3 numbers"),
        ({"class_ids": [0], "masks": [np.ones((20, 30))], "polygons": [[]]}, "only one of"),
    ],
)
def test_mistakes_name_the_object_and_the_remedy(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_annotations((20, 30), **arguments)


def test_repair_clips_drops_and_says_so():
    mask = _square((20, 30), 2, 2, 10, 10)
    boxes = [
        [2, 2, 10, 10],  # good
        [-5, 2, 10, 99],  # sticks out
        [2, 2, 30.01, 10],  # COCO's rounding, not worth a note
        [40, 2, 50, 10],  # outside
        [8, 2, 8, 10],  # no width
        [10, 2, 4, 10],  # wrong way round
        [float("nan"), 2, 4, 10],
        [15, 12, 20, 18],  # holds no pixel of its mask
    ]
    faulty = make_annotations((20, 30), range(8), masks=[mask] * 8, boxes=boxes, ids=list("abcdefgh"))
    kept, notes = repair(faulty)
    assert kept.ids == ["a", "b", "c"] and len(kept.masks) == 3 and kept.class_ids.tolist() == [0, 1, 2]
    np.testing.assert_allclose(kept.boxes, [[2, 2, 10, 10], [0, 2, 10, 20], [2, 2, 30, 10]])
    assert [kind for kind, _ in notes] == ["repaired"] + ["dropped"] * 5
    assert "annotation b" in notes[0][1] and "without a pixel" in notes[-1][1]


def test_empty_mask_is_dropped():
    kept, notes = repair(make_annotations((20, 30), [0], masks=[np.zeros((20, 30))]))
    assert len(kept) == 0 and kept.masks == [] and len(notes) == 1
