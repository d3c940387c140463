import csv

import keras
import numpy as np
import pytest

from mrcnn_keras.data import ShapesDataset
from mrcnn_keras.evaluation import CocoEvaluation
from mrcnn_keras.inference import Detections


class LateLearner(keras.Model):
    """Sees nothing when asked for the first time, everything from then on."""

    def __init__(self, dataset):
        super().__init__()
        self.dense, self.dataset, self.asked = keras.layers.Dense(1), dataset, 0

    def call(self, inputs):
        return self.dense(inputs)

    def detect(self, images, batch_size=1, masks="rle"):
        assert len(images) == len(self.dataset)
        self.asked += 1
        return [self._found(self.dataset.load_annotations(i)) for i in range(len(images))]

    def _found(self, truth):
        truth = truth.take(np.arange(len(truth) if self.asked > 1 else 0))
        scores = np.full(len(truth), 0.5)
        return Detections(
            truth.boxes, scores, truth.class_ids, self.dataset.class_names, rles=truth.masks, size=truth.size
        )


def train(epochs, *others, **options):
    """Fit with CocoEvaluation before the other callbacks; the history."""
    model = LateLearner(ShapesDataset(2, seed=3, size=(64, 64)))
    model.compile(optimizer="sgd", loss="mse")
    callbacks = [CocoEvaluation(model.dataset, batch_size=2, **options), *others]
    return model.fit(np.ones((2, 3)), np.ones((2, 1)), epochs=epochs, callbacks=callbacks, verbose=0).history


def test_average_precision_reaches_history_and_csv(tmp_path):
    history = train(2, keras.callbacks.CSVLogger(str(tmp_path / "log.csv")))
    assert history["val_bbox_AP"] == pytest.approx([0.0, 1.0]) and history["val_segm_AP"] == pytest.approx([0.0, 1.0])
    assert {"val_segm_AP50", "val_segm_AP75"} <= set(history)
    with open(tmp_path / "log.csv") as file:
        assert [float(row["val_segm_AP"]) for row in csv.DictReader(file)] == pytest.approx([0.0, 1.0])


def test_checkpoint_keeps_the_best(tmp_path):
    path = str(tmp_path / "best-{epoch}.weights.h5")
    best = {"monitor": "val_segm_AP", "mode": "max", "save_best_only": True, "save_weights_only": True}
    train(3, keras.callbacks.ModelCheckpoint(path, **best))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best-1.weights.h5", "best-2.weights.h5"]


def test_every_leaves_nan_between_and_always_does_the_last():
    assert np.isnan(train(3, every=2)["val_bbox_AP"]).tolist() == [True, False, False]


def test_every_below_one_is_an_error():
    with pytest.raises(ValueError, match="every=0"):
        CocoEvaluation(None, every=0)


def test_every_worker_evaluates_and_the_chief_writes(tmp_path):
    from mrcnn_keras.commands.records import recorders

    def kinds(writes):
        made = recorders(tmp_path, ShapesDataset(2, seed=3, size=(64, 64)), writes=writes)
        return [type(one).__name__ for one in made]

    assert kinds(True) == ["CocoEvaluation", "History", "Checkpoints"]
    assert kinds(False) == ["CocoEvaluation", "Checkpoints"]
