"""Training with XLA, which compiles one program for every shape."""

import keras
import numpy as np
import pytest

from mrcnn_keras import MaskRCNN

from .. import tiny
from ..processes import arrays_of, finish, start


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    path = tmp_path_factory.mktemp("xla") / "found.npz"
    finish(start("tests.training.xla_run", path))
    return arrays_of(path)


@pytest.mark.slow
def test_xla_trains_as_tensorflow_does(found):
    losses = [name.removeprefix("plain loss ") for name in found if name.startswith("plain loss ")]
    assert {"loss", "rpn_class_loss", "box_loss", "mask_loss", "keypoint_loss"} <= set(losses)
    for name in losses:
        np.testing.assert_allclose(found[f"xla loss {name}"], found[f"plain loss {name}"], rtol=1e-4, err_msg=name)
    paths = [name.removeprefix("start ") for name in found if name.startswith("start ")]
    assert len(paths) > 100
    for path in paths:
        change = found[f"plain {path}"] - found[f"start {path}"]
        difference = found[f"xla {path}"] - found[f"plain {path}"]
        assert np.linalg.norm(difference) <= 0.03 * np.linalg.norm(change) + 1e-6, path


@pytest.mark.slow
def test_weights_stay_as_they_are_where_a_loss_is_not_finite(found):
    assert "class_loss nan" in str(found["error"])
    paths = [name.removeprefix("before ") for name in found if name.startswith("before ")]
    assert len(paths) > 50
    for path in paths:
        np.testing.assert_array_equal(found[f"after {path}"], found[f"before {path}"], err_msg=path)


def test_what_xla_does_not_take():
    model = tiny.tiny_model(roi_op="crop_and_resize")
    with pytest.raises(ValueError, match="XLA has no roi_op='crop_and_resize'"):
        model.compile(jit_compile=True)


def test_a_saved_model_is_compiled_as_it_was(tmp_path):
    model = tiny.tiny_model(mask_head="none")
    model.compile(keras.optimizers.SGD(0.01), jit_compile=True)
    model.save(tmp_path / "model.keras")
    assert MaskRCNN.load(tmp_path / "model.keras").uses_xla
