import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras.training.finite import NonFiniteLossError, assert_finite, explain


def test_finite_values_pass():
    assert_finite({"box_loss": tf.constant(1.0)}, [tf.ones(3)], tf.constant([1, 2], tf.int64))


@pytest.mark.parametrize("eagerly", [False, True])
@pytest.mark.parametrize("loss", [np.nan, np.inf, 1.0])
def test_the_error_names_images_and_losses(loss, eagerly):
    gradient = tf.ones(3) if not np.isfinite(loss) else tf.constant([np.nan])

    def run():
        losses = {"box_loss": tf.constant(loss), "mask_loss": tf.constant(0.5)}
        with tf.control_dependencies([assert_finite(losses, [gradient], tf.constant([12, 7], tf.int64))]):
            return tf.constant(0)

    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        (run if eagerly else tf.function(run))()
    error = explain(caught.value.message, lambda index: f"photo{index}.jpg")
    assert isinstance(error, NonFiniteLossError)
    assert error.images == ["photo12.jpg", "photo7.jpg"]
    assert error.losses["mask_loss"] == 0.5
    assert str(error.losses["box_loss"]) == str(float(loss))
    assert "photo7.jpg" in str(error) and "learning rate" in str(error)


def test_other_errors_are_left_alone():
    assert explain("Incompatible shapes: [2] vs. [3]", str) is None
