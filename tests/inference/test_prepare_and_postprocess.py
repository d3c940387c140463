import numpy as np
import pytest

from mrcnn_keras.inference import prepare_images, to_detections


def test_images_of_two_sizes_share_one_padded_canvas():
    images = [np.full((60, 90, 3), 200, np.uint8), np.full((100, 50), 90, np.uint8)]  # the second is grey
    batch, sizes = prepare_images(images, min_side=64, max_side=96, size_divisor=32)
    assert batch["images"].shape == (2, 96, 96, 3) and batch["images"].dtype == np.uint8
    assert batch["image_sizes"].tolist() == [[64, 96], [96, 48]] and batch["image_sizes"].dtype == np.float32
    assert sizes.tolist() == [[60, 90], [100, 50]]
    assert (batch["images"][0, :64] == 200).all() and (batch["images"][0, 64:] == 0).all()
    assert (batch["images"][1, :, :48] == 90).all() and (batch["images"][1, :, 48:] == 0).all()


def test_no_image_is_an_error():
    with pytest.raises(ValueError, match="at least one image"):
        prepare_images([], 64, 96)


def test_unreadable_image_is_named(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match="broken.jpg"):
        prepare_images([str(tmp_path / "broken.jpg")], 64, 96)


@pytest.fixture
def outputs():
    """Two images resized by 2, the second with one detection; rows 2 and 3 of the first are nothing to show."""
    boxes = np.zeros((2, 4, 4), np.float32)
    boxes[0, :3] = [[20, 10, 60, 50], [180, 100, 300, 240], [500, 10, 520, 30]]  # the third is outside the image
    boxes[1, 0] = [0, 0, 40, 80]
    scores = np.array([[0.9, 0.6, 0.5, 0], [0.7, 0, 0, 0]], np.float32)
    class_ids = np.array([[1, 0, 0, -1], [0, -1, -1, -1]], np.int32)
    return {"boxes": boxes, "scores": scores, "class_ids": class_ids, "mask_probs": np.ones((2, 4, 28, 28), np.float32)}


SIZES = {"image_sizes": [[200, 260], [160, 80]], "original_sizes": [[100, 130], [80, 40]], "class_names": ("a", "b")}


def test_boxes_and_masks_fit_the_original_image(outputs):
    first, second = to_detections(outputs, **SIZES)
    assert first.boxes.tolist() == [[10, 5, 30, 25], [90, 50, 130, 100]] and first.names == ["b", "a"]
    assert first.size == (100, 130) and first.masks.shape == (2, 100, 130)
    assert first.masks[0, 5:25, 10:30].all() and first.masks[0].sum() == 400
    assert second.boxes.tolist() == [[0, 0, 20, 40]] and second.scores.tolist() == pytest.approx([0.7])


def test_masks_as_run_lengths_or_not_at_all(outputs):
    bitmaps = to_detections(outputs, **SIZES)
    rles = to_detections(outputs, masks="rle", **SIZES)
    assert rles[0].masks is None
    np.testing.assert_array_equal(rles[0].to_masks(), bitmaps[0].masks)
    assert not to_detections(outputs, masks=None, **SIZES)[0].has_masks
    with pytest.raises(ValueError, match="polygon"):
        to_detections(outputs, masks="polygon", **SIZES)


def test_model_without_masks(outputs):
    del outputs["mask_probs"]
    assert not to_detections(outputs, **SIZES)[0].has_masks


def test_keypoints_fit_the_original_image_and_know_their_names(outputs):
    named = {"keypoint_names": ("head", "foot"), "keypoint_skeleton": ((0, 1),)}
    assert to_detections(outputs, **named, **SIZES)[0].keypoint_names == ()  # a model without keypoints
    outputs["keypoints"] = np.full((2, 4, 2, 3), (40, 20, 0.5), np.float32)
    first, second = to_detections(outputs, **named, **SIZES)
    assert first.keypoints.shape == (2, 2, 3) and first.keypoints[0, 0].tolist() == [20, 10, 0.5]
    assert second.keypoint_names == ("head", "foot") and second.keypoint_skeleton == ((0, 1),)


def test_nothing_found_still_has_masks(outputs):
    outputs["class_ids"][:] = -1
    for form in ("bitmap", "rle"):
        found = to_detections(outputs, masks=form, **SIZES)[0]
        assert len(found) == 0 and found.has_masks and found.to_masks().shape == (0, 100, 130)


def test_score_threshold(outputs):
    assert [len(found) for found in to_detections(outputs, score_threshold=0.65, **SIZES)] == [1, 1]


def test_not_a_number_is_no_detection(outputs):
    outputs["boxes"][0, 0, 2] = np.nan
    assert to_detections(outputs, **SIZES)[0].names == ["a"]


@pytest.mark.shared
def test_boxes_are_those_of_detectron2(shared_dir):
    with np.load(shared_dir / "parity" / "d2_mask_r50_fpn" / "expected.npz") as stored:
        outputs = {"boxes": stored["raw_boxes"][None], "scores": stored["scores"][None],
                   "class_ids": stored["classes"][None]}  # fmt: skip
        sizes = stored["resized_bgr"].shape[:2], stored["image_rgb"].shape[:2]
        (found,) = to_detections(outputs, [sizes[0]], [sizes[1]], [str(i) for i in range(80)])
        np.testing.assert_allclose(found.boxes, stored["boxes"], atol=1e-3)
