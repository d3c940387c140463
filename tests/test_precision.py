"""Training and detection under Keras' mixed precision."""

import keras
import numpy as np
import pytest

from mrcnn_keras import MaskRCNN
from mrcnn_keras.data import ShapesDataset, StickFiguresDataset

from .tiny import C4, tiny_model

pytestmark = pytest.mark.usefixtures("eager_training")

ARCHITECTURES = {
    "fpn": {"num_keypoints": 13, "backbone_norm": "group"},
    "c4": {**C4, "roi_op": "pool"},
    "softmax": {"mask_loss": "softmax", "backbone_norm": "batch", "mask_head": "mlp"},
    "non-local": {"non_local_blocks": (0, 0, 1, 0), "num_groups": 2},
}


@pytest.fixture
def policy(request):
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy("float32")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "policy"), list(zip(ARCHITECTURES, 2 * ["mixed_bfloat16", "mixed_float16"])), indirect=["policy"]
)
def test_every_kind_of_model_trains_and_detects(policy, name):
    trains_and_detects(policy, name)


@pytest.mark.parametrize("policy", ["mixed_float16"], indirect=True)
def test_a_graph_scales_the_loss(policy):
    trains_and_detects(policy, "c4", run_eagerly=False)


def trains_and_detects(policy, name, **options):
    model = tiny_model(**{"num_classes": 1, **ARCHITECTURES[name]})
    model.compile(learning_rate=0.01, **options)
    people = StickFiguresDataset(4, seed=0, size=(64, 64))
    history = model.fit(people, epochs=2, steps_per_epoch=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert model.get_layer("backbone").compute_dtype == policy.removeprefix("mixed_")
    assert all(weight.dtype in ("float32", "int32") for weight in model.weights)
    scales = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scales == (policy == "mixed_float16")  # bfloat16 reaches as far as float32
    (found,) = model.detect(np.full((70, 90, 3), 90, np.uint8))
    assert len(found) and found.boxes.dtype == np.float32 and np.isfinite(found.boxes).all()


@pytest.mark.parametrize("policy", ["mixed_bfloat16"], indirect=True)
def test_boxes_of_large_images_keep_their_digits(policy):
    # bfloat16 has no number between 1328 and 1336.
    from mrcnn_keras.layers.normalize import NormalizeImages
    from mrcnn_keras.layers.windows import ImageWindows

    images, sizes = np.full((1, 4, 1336, 3), 200, np.float32), np.array([[4, 1333]], np.float32)
    np.testing.assert_array_equal(ImageWindows()(images, sizes)[0], [[0, 0, 1333, 4]])
    pixels = np.asarray(NormalizeImages()(images, sizes), np.float32)
    assert pixels.shape == images.shape and pixels[0, 0, 1332].all() and not pixels[0, 0, 1333:].any()


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16"], indirect=True)
def test_a_model_trained_so_is_saved_in_float32(policy, tmp_path):
    model = tiny_model()
    model.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("float32")
    loaded = MaskRCNN.load(tmp_path / "model.keras")
    assert loaded.get_layer("backbone").compute_dtype == "float32"
    image = ShapesDataset(1, seed=3, size=(64, 64)).load_image(0)
    exact, rounded = loaded.detect(image)[0], model.detect(image)[0]
    # Untrained scores are nearly alike, so compare those and not the order.
    np.testing.assert_allclose(np.sort(exact.scores)[-5:], np.sort(rounded.scores)[-5:], atol=0.02)
