"""Gradients that are freed together with the graph in which they were traced."""

import pytest
import tensorflow as tf

from mrcnn_keras.ops.gradients import call_with_gradient


class Doubled(tf.Module):
    """A function with a gradient of its own."""

    @tf.function(input_signature=[tf.TensorSpec((3,))])
    def __call__(self, x):
        return call_with_gradient(lambda y: (2.0 * y, lambda upstream: [2.0 * upstream]), x)


def test_a_model_with_one_is_saved_without_it_or_told_how(tmp_path):
    with pytest.raises(ValueError) as caught:
        tf.saved_model.save(Doubled(), str(tmp_path / "with"))
    assert "SaveOptions(experimental_custom_gradients=False)" in str(caught.value.__cause__)
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(Doubled(), str(tmp_path / "without"), options=options)
    assert tf.saved_model.load(str(tmp_path / "without"))(tf.ones(3)).numpy().tolist() == [2.0, 2.0, 2.0]
