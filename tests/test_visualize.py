import dataclasses
import sys

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras import visualize
from mrcnn_keras.inference import Detections
from mrcnn_keras.visualize.labels import readable_on


def scene(size, boxes, shade=90, scores=None):
    """A plain image and detections that fill their boxes."""
    masks = np.zeros((len(boxes), *size), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = True
    scores = np.full(len(boxes), 0.9) if scores is None else scores
    image = np.full((*size, 3), shade, np.uint8)
    return Detections(boxes, scores, np.zeros(len(boxes), int), ("person",), masks=masks, image=image)


def picture(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


@pytest.mark.parametrize("size", [(333, 501), (480, 640), (801, 1067)])
def test_saved_at_the_images_resolution(tmp_path, size):
    path = scene(size, [[50, 60, 150, 200]]).save_plot(tmp_path / "new" / "found.png")
    assert picture(path).shape == (*size, 3)


def test_tiny_images_are_enlarged(tmp_path):
    shown = picture(scene((128, 128), [[20, 30, 60, 90]]).save_plot(tmp_path / "found.png"))
    assert shown.shape == (640, 640, 3)


@pytest.mark.parametrize("shade", [5, 250], ids=["dark", "light"])
def test_object_is_coloured_and_the_rest_untouched(tmp_path, shade):
    found = scene((400, 600), [[200, 100, 400, 300]], shade)
    shown = picture(found.save_plot(tmp_path / "found.png", labels=False))
    inside, outside = shown[150:250, 250:350], shown[320:, :]
    assert (outside == shade).all()
    assert np.ptp(inside.reshape(-1, 3).mean(axis=0)) > 60  # a colour, not a grey
    rim = np.abs(shown[200, 190:210] - shade).max()
    assert rim > 100


def test_holes_and_parts_are_drawn_as_they_are(tmp_path):
    masks = np.zeros((1, 400, 400), bool)
    masks[0, 50:250, 50:250] = True
    masks[0, 100:200, 100:200] = False
    masks[0, 300:350, 300:350] = True
    image = np.full((400, 400, 3), 128, np.uint8)
    found = Detections([[50, 50, 350, 350]], [1], [0], ("a",), masks=masks)
    shown = picture(found.save_plot(tmp_path / "found.png", image, labels=False, boxes=False))
    coloured = (shown != 128).any(axis=2)
    assert not coloured[110:190, 110:190].any() and coloured[60:90, 60:240].all() and coloured[310:340, 310:340].all()


def test_neighbours_have_different_colours(tmp_path):
    boxes = [[100 * i + 10, 100, 100 * i + 90, 300] for i in range(6)]
    shown = picture(scene((400, 620), boxes).save_plot(tmp_path / "found.png"))
    colours = np.array([shown[250, 100 * i + 50] for i in range(6)])
    distances = np.abs(colours[:, None] - colours[None]).sum(axis=2) + 999 * np.eye(6)
    assert distances.min() > 40
    same = picture(scene((400, 620), boxes).save_plot(tmp_path / "found.png", color_by="class"))
    assert len({tuple(same[250, 100 * i + 50]) for i in range(6)}) == 1


def labels_of(figure):
    """Extents (x1, y1, x2, y2) in pixels of all the texts of a figure."""
    renderer = figure.canvas.get_renderer()
    return np.array([text.get_window_extent(renderer).extents for ax in figure.axes for text in ax.texts])


def test_labels_stay_in_the_image():
    corners = [[0, 0, 40, 50], [560, 0, 600, 40], [0, 360, 30, 400], [550, 370, 600, 400]]
    extents = labels_of(scene((400, 600), corners).plot())
    assert len(extents) == 4
    assert (extents[:, :2] >= -1).all() and (extents[:, 2:] <= [601, 401]).all()


def test_labels_do_not_hide_each_other():
    boxes = [[200 + 3 * i, 150 + 2 * i, 300 + 3 * i, 250 + 2 * i] for i in range(6)]
    extents = labels_of(scene((400, 600), boxes).plot())
    low = np.maximum(extents[:, None, :2], extents[None, :, :2])
    high = np.minimum(extents[:, None, 2:], extents[None, :, 2:])
    overlap = np.prod(np.maximum(high - low, 0), axis=2) - np.diag(np.prod(extents[:, 2:] - extents[:, :2], axis=1))
    assert np.abs(overlap).max() < 1


def test_letters_grow_with_the_image():
    small = labels_of(scene((300, 400), [[50, 80, 300, 250]]).plot())
    large = labels_of(scene((1200, 1600), [[200, 320, 1200, 1000]]).plot())
    assert (large[0, 3] - large[0, 1]) > 2 * (small[0, 3] - small[0, 1])


def test_text_contrasts_with_its_background():
    for colour in visualize.PALETTE:
        assert readable_on(colour) == "black"
    assert readable_on("#202060") == "white"


def test_threshold_leaves_out_and_names_are_written():
    found = scene((300, 400), [[10, 50, 90, 200], [200, 50, 300, 200]], scores=[0.95, 0.4])
    figure = found.plot(score_threshold=0.5)
    assert [text.get_text() for text in figure.axes[0].texts] == ["person 0.95"]
    assert [t.get_text() for t in found.plot(scores=False).axes[0].texts] == ["person", "person"]


def test_nothing_found_shows_the_image(tmp_path):
    shown = picture(scene((350, 400), []).save_plot(tmp_path / "found.png"))
    assert (shown == 90).all()


def test_draws_in_given_axes_and_leaves_pyplot_alone():
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert scene((60, 80), [[5, 5, 50, 50]]).plot(ax=ax) is ax.figure
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_run_length_masks_draw_the_same(tmp_path):
    found = scene((350, 400), [[100, 100, 200, 300]])
    rle = Detections(
        found.boxes, found.scores, found.class_ids, found.class_names, rles=found.to_rles(), size=found.size
    )
    first, second = found.save_plot(tmp_path / "a.png"), rle.save_plot(tmp_path / "b.png", found.image)
    np.testing.assert_array_equal(picture(first), picture(second))


def test_another_images_detections_are_an_error():
    with pytest.raises(ValueError, match=r"\(60, 80\).*\(10, 20\)"):
        scene((60, 80), [[5, 5, 50, 50]]).plot(np.zeros((10, 20, 3), np.uint8))


def test_unknown_colouring_is_an_error():
    with pytest.raises(ValueError, match="color_by='score'"):
        scene((60, 80), [[5, 5, 50, 50]]).plot(color_by="score")


def person(size=(400, 400), score=0.5, shade=90, **fields):
    """One object with a horizontal limb at y=100, a vertical one at x=300, and a joint that nothing joins."""
    points = [[[100, 100, score], [300, 100, 0.5], [300, 300, 0.5], [150, 250, 0.5]]]
    skeleton = ((0, 1), (1, 2))
    image = np.full((*size, 3), shade, np.uint8)
    return Detections([[80, 80, 320, 320]], [0.9], [0], ("person",), size=size, image=image,
                      **{"keypoints": points, "keypoint_skeleton": skeleton, **fields})  # fmt: skip


_BARE = {"labels": False, "boxes": False}


@pytest.mark.parametrize("shade", [5, 250], ids=["dark", "light"])
def test_limbs_and_joints_are_drawn_over_the_mask(tmp_path, shade):
    masks = np.zeros((1, 400, 400), bool)
    masks[:, 80:320, 80:320] = True
    shown = picture(person(shade=shade, masks=masks).save_plot(tmp_path / "found.png", **_BARE))
    plain = picture(person(shade=shade, masks=masks).save_plot(tmp_path / "plain.png", keypoints=False, **_BARE))
    first, second, joint = shown[100, 200], shown[200, 300], shown[250, 150]
    for there in ((100, 200), (200, 300), (250, 150)):
        assert np.abs(shown[there] - plain[there]).max() > 60
    assert np.abs(first - second).max() > 100  # limbs have colours of their own
    changed = (shown != plain).any(axis=2)
    assert changed[100, 110:290].all() and not changed[130:230, 180:290].any() and changed.mean() < 0.05
    assert np.ptp(joint) > 60


def test_keypoints_of_low_score_and_their_limbs_are_left_out(tmp_path):
    shown = picture(person(score=0.04).save_plot(tmp_path / "found.png", **_BARE))
    assert (shown[90:110, 90:280] == 90).all() and (shown[200, 300] != 90).any()
    all_of_them = picture(person(score=0.04).save_plot(tmp_path / "all.png", keypoint_threshold=0.01, **_BARE))
    assert (all_of_them[100, 200] != 90).any()


def test_joints_without_a_skeleton_are_dots(tmp_path):
    shown = picture(person(keypoint_skeleton=()).save_plot(tmp_path / "found.png", **_BARE))
    assert (shown[100, 100] != 90).any() and (shown[100, 150:250] == 90).all()


def test_limbs_grow_with_the_object(tmp_path):
    def thickness(factor):
        size = (400 * factor, 400 * factor)
        found = person(size)
        larger = Detections(found.boxes * factor, [0.9], [0], ("person",), size=size, image=found.image,
                            keypoints=found.keypoints * (factor, factor, 1),
                            keypoint_skeleton=found.keypoint_skeleton)  # fmt: skip
        shown = picture(larger.save_plot(tmp_path / "found.png", **_BARE))
        return (shown[60 * factor : 140 * factor, 200 * factor] != 90).any(axis=1).sum()

    assert 3 <= thickness(1) <= 12 and 1.5 * thickness(1) <= thickness(4) <= 5 * thickness(1)


def test_limbs_of_a_small_object_are_thinner(tmp_path):
    def thickness(factor):
        shrunk = {"keypoints": person().keypoints * (factor, factor, 1)}
        found = dataclasses.replace(person(), boxes=person().boxes * factor, **shrunk)
        shown = picture(found.save_plot(tmp_path / "found.png", **_BARE))
        return (shown[: int(130 * factor), int(200 * factor)] != 90).any(axis=1).sum()

    assert thickness(0.3) < 0.7 * thickness(1)


def test_limb_colours_are_far_apart():
    from mrcnn_keras.visualize.keypoints import limb_color

    colours = np.array([limb_color(k, 19) for k in range(19)])
    distances = np.abs(colours[:, None] - colours[None]).sum(axis=2) + 9 * np.eye(19)
    assert distances.min() > 0.15 and colours.max(axis=1).min() > 0.9


def test_grid_holds_every_picture(tmp_path):
    scenes = [scene((100, 150), [[20, 20, 90, 90]], shade=s) for s in (40, 120, 200)]
    images = [one.image for one in scenes]
    path = visualize.draw_grid(images, scenes, tmp_path / "grid.png", columns=2, width=800, labels=False)
    shown = picture(path)
    assert shown.shape[1] == 800 and 500 < shown.shape[0] < 560
    places = [(60, 370), (60, 780), (320, 370)]
    assert [int(shown[place][0]) for place in places] == [40, 120, 200]
    assert (shown[400, 600] == 255).all()  # no fourth picture
    titled = picture(visualize.draw_grid(images, scenes, path, columns=2, width=800, titles=["a", "b", "c"]))
    assert titled.shape[0] > shown.shape[0]


def test_a_very_tall_picture_does_not_make_a_very_tall_page(tmp_path):
    tall = np.full((9000, 30, 3), 200, np.uint8)
    scene = Detections(np.zeros((0, 4)), [], [], ("thing",), image=tall, size=tall.shape[:2])
    path = visualize.draw_grid([tall] * 2, [scene] * 2, tmp_path / "grid.png", columns=2, width=400)
    assert picture(path).shape[0] < 700


def test_grid_needs_one_of_each(tmp_path):
    one = scene((60, 80), [[5, 5, 50, 50]])
    with pytest.raises(ValueError, match="2 images, 1 detections"):
        visualize.draw_grid([one.image] * 2, [one], tmp_path / "grid.png")


def test_history_curves(tmp_path):
    history = {
        "loss": [3.0, 2.0, 1.0],
        "val_loss": [3.2, 2.5, 2.0],
        "val_bbox_AP": [np.nan, 0.2, 0.4],
        "learning_rate": [0.01, 0.02, 0.02],
        "seconds": [1, 1, 1],
    }
    figure = visualize.plot_history(history, tmp_path / "history.png")
    assert [ax.get_title() for ax in figure.axes] == ["loss", "average precision", "learning rate"]
    (precision,) = figure.axes[1].lines
    assert precision.get_xdata().tolist() == [2, 3]
    assert (tmp_path / "history.png").stat().st_size > 0


def test_history_without_curves_is_an_error():
    with pytest.raises(ValueError, match="seconds"):
        visualize.plot_history({"seconds": [1]})
