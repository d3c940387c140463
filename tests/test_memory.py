"""Models that are gone leave nothing behind."""

import gc

from mrcnn_keras import MaskRCNN, MaskRCNNConfig
from mrcnn_keras.data import ShapesDataset

from .training.replica_run import FIELDS

SHAPES = ShapesDataset(4, seed=0, size=(64, 64))


def graphs_after_a_model():
    model = MaskRCNN(MaskRCNNConfig(**FIELDS))
    model.fit(SHAPES, steps_per_epoch=1, verbose=0)
    model.detect(SHAPES.load_image(0))
    del model
    gc.collect()
    return sum(type(one).__name__ == "FuncGraph" for one in gc.get_objects())


def test_graphs_and_with_them_weights_are_freed():
    first = graphs_after_a_model()  # what is made once for all models is there then
    assert graphs_after_a_model() == first
