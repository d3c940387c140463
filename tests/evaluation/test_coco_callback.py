import csv

import keras
import numpy as np
import pytest

from mrcnn_keras.data import ShapesDataset
from mrcnn_keras.evaluation import CocoEvaluation
from mrcnn_keras.inference import Detections


class Learner(keras.Model):
    """Detects the first `epoch` images right, so that it gets better from epoch to epoch."""

    def __init__(self, dataset):
        super().__init__()
        self.dense, self.dataset, self.asked = keras.layers.Dense(1), dataset, 0

    def call(self, inputs):
        return self.dense(inputs)

    def detect(self, images, batch_size=1, masks="rle"):
        self.asked += 1
        truth = [self.dataset.load_annotations(i) for i in range(len(self.dataset))]
        found = [next(t for i, t in enumerate(truth) if (self.dataset.load_image(i) == image).all()) for image in images]
        return [
            Detections(t.boxes, np.full(len(t), 0.5), t.class_ids, self.dataset.class_names, rles=t.masks, size=t.size)
            if self.asked > len(truth)  # blind in its first evaluation
            else Detections(np.zeros((0, 4)), [], [], self.dataset.class_names, rles=[], size=t.size)
            for t in found
        ]


@pytest.fixture
def train():
    def run(epochs, **options):
        model = Learner(ShapesDataset(2, seed=3, size=(64, 64)))
        model.compile(optimizer="sgd", loss="mse")
        before = [CocoEvaluation(model.dataset, **options)]
        after = run.callbacks
        return model.fit(np.ones((2, 3)), np.ones((2, 1)), epochs=epochs, callbacks=before + after, verbose=0).history

    run.callbacks = []
    return run


def test_average_precision_reaches_history_and_csv(train, tmp_path):
    train.callbacks = [keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))]
    history = train(2)
    assert history["val_bbox_AP"] == pytest.approx([0.0, 1.0]) and history["val_segm_AP"] == pytest.approx([0.0, 1.0])
    assert {"val_segm_AP50", "val_segm_AP75"} <= set(history)
    rows = list(csv.DictReader(open(tmp_path / "log.csv")))
    assert float(rows[1]["val_segm_AP"]) == pytest.approx(1.0)


def test_checkpoint_keeps_the_best(train, tmp_path):
    path = tmp_path / "best-{epoch}.weights.h5"
    train.callbacks = [
        keras.callbacks.ModelCheckpoint(
            str(path), monitor="val_segm_AP", mode="max", save_best_only=True, save_weights_only=True
        )
    ]
    train(3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best-1.weights.h5", "best-2.weights.h5"]


def test_every_leaves_nan_between_and_always_does_the_last(train):
    assert np.isnan(train(3, every=2)["val_bbox_AP"]).tolist() == [True, False, False]


def test_every_below_one_is_an_error():
    with pytest.raises(ValueError, match="every=0"):
        CocoEvaluation(None, every=0)
