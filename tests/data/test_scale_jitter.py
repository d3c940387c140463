"""Large-scale jitter: what is seen of a photo, and where its objects are then."""

import numpy as np
import pytest

from mrcnn_keras.data import Dataset, KeypointSet, make_annotations, resize_image, training_batches
from mrcnn_keras.data.scale_jitter import View, jittered_view, seen


def _view(photo, crop, scale, y=0.0, x=0.0):
    return jittered_view(photo, crop, (scale, scale), np.array([0.5, y, x]))


@pytest.mark.parametrize(
    ("photo", "crop", "scale", "size"),
    [
        ((480, 640), (1024, 1024), 1.0, (768, 1024)),
        ((480, 640), (1024, 1024), 0.1, (77, 102)),
        ((480, 640), (1024, 1024), 2.0, (1024, 1024)),
        ((480, 640), (512, 1024), 2.0, (512, 1024)),
        ((640, 427), (512, 1024), 1.0, (512, 342)),
        ((3, 4000), (64, 64), 0.1, (1, 6)),
    ],
)
def test_size_at_a_scale(photo, crop, scale, size):
    view = _view(photo, crop, scale, 0.3, 0.7)
    assert view.size == size
    x1, y1, x2, y2 = view.window
    assert 0 <= x1 < x2 <= photo[1] and 0 <= y1 < y2 <= photo[0]


def test_scales_are_drawn_between_the_two_and_windows_reach_all_corners():
    heights = [jittered_view((100, 50), (100, 100), (0.5, 1.5), np.array([u, 0, 0])).size[0] for u in (0, 0.25, 0.5, 1)]
    assert heights == [50, 75, 100, 100]
    assert _view((100, 50), (100, 100), 2.0, 0, 0.4).window == (0, 0, 50, 50)
    np.testing.assert_allclose(_view((100, 50), (100, 100), 2.0, 1, 0.4).window, (0, 50, 50, 100))
    np.testing.assert_allclose(_view((100, 50), (100, 60), 3.0, 1, 1).window, (30, 200 / 3, 50, 100))


def test_a_window_has_the_pixels_of_the_whole_photo_resized():
    photo = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    for scale, y, x in [(1.7, 0.2, 0.9), (2.0, 1.0, 1.0), (1.2, 0.5, 0.0)]:
        view = _view(photo.shape[:2], (64, 64), scale, y, x)
        whole = resize_image(photo, (round(60 * 64 / 90 * scale), round(64 * scale)))
        top, left = (round(start * factor) for start, factor in zip(view.window[1::-1], view.scale[::-1]))
        expected = whole[top : top + view.size[0], left : left + view.size[1]].astype(int)
        found = resize_image(photo, view.size, view.window)
        assert np.abs(found - expected).max() <= 1
        np.testing.assert_array_equal(resize_image(photo, view.size, view.window, mirror=True), found[:, ::-1])


def _two_bars(masks=True):
    """A low bar and a high one that share a box's lower edge, and an object of their size far right."""
    steps = np.zeros((40, 100), bool)
    steps[20:30, 10:20] = steps[25:30, 20:40] = True
    right = np.zeros((40, 100), bool)
    right[5:15, 80:90] = True
    points = [[[15, 22, 2], [35, 27, 1]], [[85, 10, 2], [0, 0, 0]]]
    boxes = [[10, 20, 40, 30], [80, 5, 90, 15]]
    shapes = {"masks": [steps, right]} if masks else {}
    return make_annotations((40, 100), [0, 1], boxes=boxes, keypoints=points, **shapes)


def test_boxes_are_drawn_around_what_is_left_of_a_mask():
    found = seen(_two_bars(), View((25, 0, 85, 40), (40, 60)))
    assert found.boxes.tolist() == [[25, 25, 40, 30], [80, 5, 85, 15]]
    assert found.class_ids.tolist() == [0, 1] and found.size == (40, 100)
    assert found.keypoints[:, :, 2].tolist() == [[0, 1], [0, 0]]
    assert found.keypoints[0, 1].tolist() == [35, 27, 1]


def test_boxes_alone_are_cut():
    assert seen(_two_bars(masks=False), View((25, 0, 85, 40), (40, 60))).boxes[0].tolist() == [25, 20, 40, 30]


def test_objects_outside_or_too_small_are_dropped():
    assert seen(_two_bars(), View((41, 0, 79, 40), (40, 38))).class_ids.tolist() == []
    assert seen(_two_bars(), View((25, 0, 41, 24), (24, 16))).class_ids.tolist() == []  # in the box, not in the mask
    whole = (0, 0, 100, 40)
    assert seen(_two_bars(), View(whole, (8, 20))).class_ids.tolist() == [0, 1]
    assert seen(_two_bars(), View(whole, (3, 8))).class_ids.tolist() == []
    assert seen(_two_bars(), View((30, 0, 80.5, 40), (40, 51))).class_ids.tolist() == [0]


class _Blocks(Dataset):
    """Dark photos with a bright block, whose keypoints are two of its corners."""

    keypoints = KeypointSet(("left_top", "right_bottom"))

    def __len__(self):
        return 40

    def image_size(self, index):
        return (60, 80) if index % 2 else (80, 60)

    def load_image(self, index):
        height, width = self.image_size(index)
        image = np.zeros((height, width, 3), np.uint8)
        image[12:26, 20:34] = 200
        return image

    def load_annotations(self, index):
        mask = self.load_image(index)[..., 0] > 0
        return make_annotations(mask.shape, [0], masks=[mask], keypoints=[[[20, 12, 2], [34, 26, 1]]])


def _batches(count, **options):
    defaults = {"batch_size": 4, "min_side": 800, "max_side": 1333, "mask_size": 8, "num_keypoints": 2}
    defaults |= {"scale_jitter": (0.1, 2.5), "crop_size": (64, 96)}
    batches = training_batches(_Blocks(), **{**defaults, **options}).take(count)
    return [{name: value.numpy() for name, value in batch.items()} for batch in batches]


def _bright(image):
    rows, columns = np.nonzero(image[..., 0] > 100)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else None


def test_images_boxes_masks_and_keypoints_stay_together():
    cut = dropped = 0
    for batch in _batches(20, scale_jitter=(0.1, 4.0)):
        assert batch["images"].shape == (4, 64, 96, 3)
        assert (batch["image_sizes"] <= (64, 96)).all() and (batch["image_sizes"] >= 6).all()
        for image, size, boxes, ids, masks, points in zip(
            *(batch[name] for name in ("images", "image_sizes", "gt_boxes", "gt_class_ids", "gt_masks", "gt_keypoints"))
        ):
            height, width = size.astype(int)
            assert not image[height:].any() and not image[:, width:].any()
            bright = _bright(image)
            if ids[0] < 0:
                dropped += 1
                assert bright is None and not points.any()
                continue
            np.testing.assert_allclose(boxes[0], bright, atol=1)
            assert (masks[0] == 255).all()  # the mask fills its box, however it is cut
            labelled = points[0][points[0][:, 2] > 0]
            corners = boxes[0].reshape(2, 2)
            assert all(np.isclose(point[:2], corners, atol=1e-3).any(axis=0).all() for point in labelled)
            assert not points[0][points[0][:, 2] == 0].any()
            cut += len(labelled) < 2
    assert cut > 10 and dropped > 0


def test_jittered_batches_are_those_of_their_seed_and_step():
    whole, resumed = _batches(6, seed=4), _batches(2, seed=4, start_step=4, workers=4)
    for one, other in zip(whole[4:], resumed, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    assert len({tuple(size) for batch in whole for size in batch["image_sizes"]}) > 12


def test_colours_change_pixels_only():
    plain, colourful = _batches(2), _batches(2, color_jitter=(0.4, 0.4, 0.4, 0.1))
    for one, other in zip(plain, colourful, strict=True):
        assert (one["images"] != other["images"]).any()
        for name in set(one) - {"images"}:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale_jitter": (2.0, 0.1)}, r"scale_jitter=\(2.0, 0.1\): expected the least and the most"),
        ({"color_jitter": (0.1, 0.1)}, r"color_jitter=\(0.1, 0.1\): expected four numbers"),
        ({"crop_size": (64,)}, r"crop_size=\(64,\): expected \(height, width\)"),
    ],
)
def test_arguments_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        _batches(1, **options)
