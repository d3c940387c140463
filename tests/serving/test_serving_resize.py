import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mrcnn_keras.data import resized_size as resized_size_in_python
from mrcnn_keras.serving.resize import resize, resized_size

in_graph = tf.function(
    resize, input_signature=[tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([2], tf.int32)], autograph=False
)


def random_cases(count):
    rng = np.random.default_rng(0)
    for height, width, new_height, new_width in rng.integers(1, 200, (count, 4)):
        yield rng.integers(0, 256, (height, width, 3), dtype=np.uint8), int(new_height), int(new_width)


def test_equals_pillow_pass_by_pass():
    for image, height, width in random_cases(60):
        # Rows before columns, as all of Pillow up to 12 does it; 13 turns the order round for some tall images.
        rows = Image.fromarray(image).resize((width, image.shape[0]), Image.Resampling.BILINEAR)
        expected = np.asarray(rows.resize((width, height), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(in_graph(image, [height, width]), expected)


def test_within_one_grey_level_of_pillow_whatever_its_version():
    for image, height, width in random_cases(60):
        expected = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
        assert np.abs(in_graph(image, [height, width]).numpy().astype(int) - expected).max() <= 1


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (500, 375), (7, 3000), (100, 100), (1, 1)])
@pytest.mark.parametrize("sides", [(800, 1333), (128, 128), (600, 1000)])
def test_size_is_the_one_used_in_training(size, sides):
    given = resized_size(tf.constant(size[0]), tf.constant(size[1]), *sides)
    assert tuple(given.numpy()) == resized_size_in_python(*size, *sides)
