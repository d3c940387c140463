"""A training's losses, learning rate, average precision and detections for TensorBoard."""

import importlib.util
import os
import tempfile
from typing import Any

import keras
import numpy as np

from mrcnn_keras.visualize.detections import save_detections
from mrcnn_keras.visualize.figures import read_pixels


class TensorBoardLog(keras.callbacks.Callback):
    """Writes TensorBoard's events while `fit` runs: `tensorboard --logdir FOLDER` shows them.

    Every so many steps the losses, as means of the epoch so far, and the learning rate; after each epoch what the
    callbacks before this one have added, such as the average precision, and pictures with detections.

    Args:
        folder: of the events; made if need be.
        dataset: `mrcnn_keras.data.Dataset` that pictures are drawn of, or None.
        every: steps between two points of a curve, 1 or more.
        pictures: how many of the dataset's first images are drawn, 0 or more.
        score_threshold: weaker detections are not drawn.

    Raises:
        ValueError: TensorBoard is not installed, or a number out of its range.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        dataset: Any = None,
        *,
        every: int = 20,
        pictures: int = 4,
        score_threshold: float = 0.5,
    ):
        super().__init__()
        if importlib.util.find_spec("tensorboard") is None:  # which TensorFlow does not bring
            raise ValueError("TensorBoard is not installed: pip install tensorboard")
        if every < 1 or pictures < 0:
            raise ValueError(f"every={every}, pictures={pictures}: expected at least 1 and 0")
        self.folder, self.dataset, self.every = os.fspath(folder), dataset, every
        self.pictures, self.score_threshold = pictures, score_threshold
        self._writer = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        import tensorflow as tf

        # Each stage counts its steps from 0, so it is a run of its own.
        stage = getattr(self.model, "stage", None)
        own = "" if stage is None or stage.name == "end_to_end" else stage.name
        self._writer = tf.summary.create_file_writer(os.path.join(self.folder, own))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._step() % self.every == 0:
            self._write({f"train/{name}": value for name, value in (logs or {}).items()})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        import tensorflow as tf

        added = {name.removeprefix("val_"): value for name, value in (logs or {}).items() if name.startswith("val_")}
        self._write({f"validation/{name}": value for name, value in added.items()})
        if self.dataset is not None and self.pictures:
            with self._writer.as_default(step=self._step()):
                for number in range(min(self.pictures, len(self.dataset))):
                    if (sample := self.dataset.load(number)) is not None:  # broken ones are skipped
                        name = self.dataset.image_name(number)
                        tf.summary.image(f"detections/{name}", self._picture(sample[0])[None])
        self._writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._writer.close()

    def _step(self) -> int:
        return int(self.model.optimizer.iterations.numpy())

    def _write(self, values: dict[str, Any]) -> None:
        import tensorflow as tf

        with self._writer.as_default(step=self._step()):
            for name, value in values.items():
                if np.isfinite(float(value)):  # nan: not evaluated after this epoch
                    tf.summary.scalar(name, float(value))

    def _picture(self, image: np.ndarray) -> np.ndarray:
        """A photo with what is found in it, uint8 (H, W, 3)."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "picture.png")
            save_detections(image, self.model.detect(image)[0], path, score_threshold=self.score_threshold)
            return read_pixels(path)
