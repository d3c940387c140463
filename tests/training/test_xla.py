"""Training with XLA, which compiles one program for every shape."""

import keras
import numpy as np
import pytest

from mrcnn_keras import MaskRCNN, MaskRCNNConfig, NonFiniteLossError
from mrcnn_keras.data import StickFiguresDataset

from .replica_run import FIELDS

# Every anchor and RoI is sampled: XLA draws other numbers at random.
ALL = {"rpn_batch_size": 4096, "rpn_positive_fraction": 0.25, "roi_batch_size": 128, "roi_positive_fraction": 0.5}
KEYPOINTS = {"num_classes": 1, "num_keypoints": 13, "keypoint_head_dim": 8, "keypoint_head_convs": 1}
SMALL = {**FIELDS, **ALL, "batch_size": 2, "backbone_norm": "batch", "gradient_clip_norm": 0.0, "flip": False}


def trained(images, **compiled):
    model = MaskRCNN(MaskRCNNConfig(**{**SMALL, **KEYPOINTS}))
    model.compile(keras.optimizers.SGD(0.01), **compiled)
    return model, model.fit(images, epochs=3, steps_per_epoch=1, verbose=0).history


@pytest.mark.slow
def test_xla_trains_as_tensorflow_does():
    images = StickFiguresDataset(6, seed=0, size=(64, 64))
    plain, expected = trained(images)
    model, history = trained(images, jit_compile=True)
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-4, err_msg=name)
    before = MaskRCNN(plain.config).variables
    for start, one, other in zip(before, plain.variables, model.variables, strict=True):
        change, difference = one.numpy() - start.numpy(), other.numpy() - one.numpy()
        assert np.linalg.norm(difference) <= 0.03 * np.linalg.norm(change) + 1e-6, one.path
    stays_as_it_is_where_a_loss_is_not_finite(model, images)


def stays_as_it_is_where_a_loss_is_not_finite(model, images):
    classifier = model.get_layer("box_head").classifier
    classifier.kernel.assign(np.full(classifier.kernel.shape, np.inf))
    before = [variable.numpy() for variable in model.trainable_variables]
    with pytest.raises(NonFiniteLossError, match="class_loss nan"):
        model.fit(images, epochs=1, steps_per_epoch=1, verbose=0)
    for variable, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_what_xla_does_not_take():
    config = MaskRCNNConfig(**{**SMALL, "roi_op": "crop_and_resize"})
    with pytest.raises(ValueError, match="XLA has no roi_op='crop_and_resize'"):
        MaskRCNN(config).compile(jit_compile=True)


def test_a_saved_model_is_compiled_as_it_was(tmp_path):
    model = MaskRCNN(MaskRCNNConfig(**{**SMALL, "mask_head": "none"}))
    model.compile(keras.optimizers.SGD(0.01), jit_compile=True)
    model.save(tmp_path / "model.keras")
    assert MaskRCNN.load(tmp_path / "model.keras").uses_xla
