"""What a model's config asks of a dataset, and the batches it gets."""

import dataclasses

import pytest

from mrcnn_keras.config import MaskRCNNConfig
from mrcnn_keras.data import ShapesDataset, StickFiguresDataset
from mrcnn_keras.training.feed import check_dataset, training_feed, validation_feed

_PEOPLE = StickFiguresDataset(4, size=(64, 64))


def _config(**fields):
    defaults = {"num_classes": 1, "num_keypoints": 13, "image_min_side": 64, "image_max_side": 64}
    return dataclasses.replace(MaskRCNNConfig(), **{**defaults, **fields})


def test_a_model_with_keypoints_gets_them():
    check_dataset(_PEOPLE, _config())
    for feed in (training_feed(_PEOPLE, _config(), 2, 1, 0), validation_feed(_PEOPLE, _config(), 2, 1)):
        assert feed.element_spec["gt_keypoints"].shape.as_list() == [None, None, 13, 3]
        assert next(iter(feed))["gt_keypoints"].numpy().any()


@pytest.mark.parametrize("mask_head", ["none", "fcn"])
def test_masks_and_keypoints_are_left_out_where_the_model_has_none(mask_head):
    fields = {"mask_head": mask_head}
    feed = validation_feed(_PEOPLE, _config(num_keypoints=0, **fields), 2, 1)
    assert "gt_keypoints" not in feed.element_spec and ("gt_masks" in feed.element_spec) == (mask_head != "none")
    feed = validation_feed(_PEOPLE, _config(**fields), 2, 1)
    assert "gt_keypoints" in feed.element_spec and ("gt_masks" in feed.element_spec) == (mask_head != "none")


@pytest.mark.parametrize(
    ("dataset", "fields", "message"),
    [
        (_PEOPLE, {"num_keypoints": 17}, r"dataset has 13 keypoints \(head, .*\) and the model 17; .*num_keypoints=13"),
        (ShapesDataset(4), {"num_classes": 3}, "the model has 13 keypoints and the dataset none.*num_keypoints=0"),
        (_PEOPLE, {"num_classes": 3}, "1 classes .* and the model 3"),
        (StickFiguresDataset(0), {}, "no images"),
    ],
)
def test_a_dataset_that_does_not_fit_the_model_is_an_error(dataset, fields, message):
    with pytest.raises(ValueError, match=message):
        check_dataset(dataset, _config(**fields))


def test_a_dataset_with_keypoints_trains_a_model_without():
    check_dataset(_PEOPLE, _config(num_keypoints=0))


def test_random_changes_reach_the_batches():
    fields = {"num_keypoints": 0, "image_max_side": 200}
    ranged = _config(train_min_sides=(40, 43), min_side_sampling="range", **fields)
    feed = training_feed(_PEOPLE, ranged, 4, 1, 0).take(8)
    assert {int(side) for batch in feed for side in batch["image_sizes"].numpy()[:, 0]} == {40, 41, 42, 43}
    jittered = _config(scale_jitter=(0.5, 2.0), crop_size=(96, 128), color_jitter=(0.0, 0.0, 1.0, 0.5), **fields)
    plain = next(iter(training_feed(_PEOPLE, dataclasses.replace(jittered, color_jitter=(0.0,) * 4), 4, 1, 0)))
    changed = next(iter(training_feed(_PEOPLE, jittered, 4, 1, 0)))
    assert changed["images"].shape == (4, 96, 128, 3)
    assert (plain["gt_boxes"].numpy() == changed["gt_boxes"].numpy()).all()
    assert (plain["images"].numpy() != changed["images"].numpy()).any()
    # Validation shows the images as they are.
    assert next(iter(validation_feed(_PEOPLE, jittered, 4, 1)))["images"].shape == (4, 64, 64, 3)
