"""From the signature's arrays to `Detections`."""

import io

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.config import MaskRCNNConfig
from mrcnn_keras.serving.answers import read_answer

CONFIG = MaskRCNNConfig(num_classes=2, class_names=("cat", "dog"))


def answer_of(count):
    """Two places, `count` of them taken: a dog in the right half of the image, a cat on the left."""
    answer = {
        "num_detections": [count],
        "detection_boxes": [[[0, 0.5, 1, 1], [0.25, 0, 0.75, 0.5]]],
        "detection_classes": [[2, 1]],
        "detection_scores": [[0.9, 0.6]],
        "detection_masks": np.ones((1, 2, 28, 28)),
    }
    return {name: np.asarray(value) for name, value in answer.items()}


def test_fractions_become_pixels_and_classes_start_at_zero():
    (found,) = read_answer(answer_of(2), [(40, 100)], CONFIG)
    assert found.boxes.tolist() == [[50, 0, 100, 40], [0, 10, 50, 30]] and found.names == ["dog", "cat"]
    assert found.masks.shape == (2, 40, 100)
    # At the border of its box a mask fades: half a cell of the 28 is below one half.
    assert found.masks[0, 1:39, 52:98].all() and not found.masks[0, :, :50].any()


def test_padding_is_taken_off():
    (one,), (none,) = (read_answer(answer_of(count), [(40, 100)], CONFIG, masks="rle") for count in (1, 0))
    assert one.names == ["dog"] and len(one.rles) == 1
    assert len(none) == 0 and none.rles == [] and none.size == (40, 100)


def test_keypoints_are_xy_with_their_scores():
    points = {"detection_keypoints": np.full((1, 2, 1, 2), [0.1, 0.2]), "detection_keypoint_scores": [[[0.7], [0.8]]]}
    config = CONFIG.replace(num_keypoints=1, keypoint_names=("nose",))
    (found,) = read_answer({**answer_of(2), **points}, [(40, 100)], config, masks=None)
    np.testing.assert_allclose(found.keypoints, [[[20, 4, 0.7]], [[20, 4, 0.8]]], rtol=1e-6)
    assert found.keypoint_names == ("nose",) and found.masks is None


def test_the_rule_of_pasting_is_the_models():
    exact, padded = (
        read_answer(answer_of(2), [(40, 100)], CONFIG.replace(mask_paste=rule))[0].masks for rule in ("exact", "padded")
    )
    assert (exact != padded).any()


def test_answers_of_another_form():
    with pytest.raises(ValueError, match="lacks detection_scores"):
        read_answer({name: v for name, v in answer_of(1).items() if "scores" not in name}, [(40, 100)], CONFIG)
    with pytest.raises(ValueError, match="3 images were sent.*num_detections"):
        read_answer(answer_of(1), [(40, 100)] * 3, CONFIG)
    with pytest.raises(ValueError, match=r"class_ids \[1\] for 1 class_names"):
        read_answer(answer_of(1), [(40, 100)], CONFIG.replace(num_classes=1, class_names=("cat",)))


def png(mask):
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["full", "png"])
@pytest.mark.parametrize("form", ["bitmap", "rle"])
def test_masks_as_large_as_the_images(kind, form):
    """Two images of different sizes; the larger one has no detection, and the other's second box is empty."""
    answer = {name: np.repeat(value, 2, axis=0) for name, value in answer_of(2).items() if "masks" not in name}
    answer["num_detections"][1] = 0
    answer["detection_boxes"][0, 0] = (0.5, 0.5, 0.5, 0.75)
    masks = np.random.default_rng(0).random((2, 2, 90, 100)) < 0.5
    masks[0, :, 40:] = masks[0, :, :, 60:] = masks[1] = False
    if kind == "full":
        answer["detection_masks"] = masks.astype(np.uint8)
    else:
        files = [[png(mask) for mask in masks[0, :, :40, :60]], [b"", b""]]
        answer["detection_masks_bytes"] = np.array(files, object)
    found, none = read_answer(answer, [(40, 60), (90, 100)], CONFIG, kind, form)
    assert found.names == ["cat"] and (found.masks is None) == (form == "rle")
    np.testing.assert_array_equal(found.to_masks(), masks[0, 1:, :40, :60])
    assert len(none) == 0 and none.to_masks().shape == (0, 90, 100)
    (without, _) = read_answer(answer, [(40, 60), (90, 100)], CONFIG, kind, None)
    assert len(without) == 1 and not without.has_masks


def test_masks_of_an_unknown_kind():
    with pytest.raises(ValueError, match="masks are 'logits'.*masks=None"):
        read_answer(answer_of(2), [(40, 100)], CONFIG, "logits")
    (found,) = read_answer(answer_of(2), [(40, 100)], CONFIG, "logits", masks=None)
    assert len(found) == 2 and not found.has_masks
