"""Average precision after each epoch of `fit`."""

from collections.abc import Iterable
from typing import Any

import keras

from mrcnn_keras.evaluation.cityscapes import check_cityscapes, evaluate_cityscapes
from mrcnn_keras.evaluation.coco import STATISTICS, evaluate_coco
from mrcnn_keras.evaluation.keypoints import sigmas_for


class _EpochEvaluation(keras.callbacks.Callback):
    """Adds metrics to the logs of every so many epochs and of the last one; nan to those of the others."""

    def __init__(self, dataset: Any, every: int, max_images: int | None, batch_size: int, verbose: bool):
        super().__init__()
        if every < 1:
            raise ValueError(f"every={every}: expected a number of epochs, 1 or more")
        self.dataset = dataset
        self.every = every
        self.max_images = max_images
        self.batch_size = batch_size
        self.verbose = verbose
        self.metrics: dict[str, Any] = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        last = epoch + 1 == (self.params or {}).get("epochs") or getattr(self.model, "stop_training", False)
        due = last or (epoch + 1) % self.every == 0
        if due:
            options = {"batch_size": self.batch_size, "max_images": self.max_images, "verbose": self.verbose}
            self.metrics = self.evaluate(**options)
        for kind in self.kinds() if logs is not None else ():
            for name in self.logged:
                logs[f"val_{kind}_{name}"] = self.value(kind, name) if due else float("nan")


class CocoEvaluation(_EpochEvaluation):
    """Adds `val_bbox_AP`, `val_segm_AP`, `val_keypoints_AP` and their `AP50` and `AP75` to the logs of an epoch.

    Masks and keypoints count where both the model and the dataset have them.

    Put it before the callbacks that shall see them, such as `training.Checkpoints`. In a training on several machines
    every process needs it, for they share the images.

    Args:
        dataset: `mrcnn_keras.data.Dataset` to evaluate on.
        every: evaluate after every so many epochs, and after the last one; nan in the logs of the others. 1 or more.
        max_images: evaluate on the first so many images only; None: all.
        batch_size: images a batch on each replica, 1 or more.
        verbose: show a progress bar.
        proposals: file of the dataset's proposals to detect on, for a training whose RPN does not learn.

    Raises:
        ValueError: `every` is under 1; when training begins, there are no sigmas for the keypoints.
    """

    logged = STATISTICS[:3]

    def __init__(
        self, dataset: Any, every: int = 1, max_images: int | None = None, batch_size: int = 1, verbose: bool = False,
        proposals: Any = None,
    ):  # fmt: skip
        super().__init__(dataset, every, max_images, batch_size, verbose)
        self.proposals = proposals

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if getattr(self.model, "config", None) is not None and self._has_keypoints():
            sigmas_for(self.dataset.keypoints, self.model)  # missing ones are an error now, not after an epoch

    def evaluate(self, **options: Any) -> dict[str, dict[str, float]]:
        given = {} if self.proposals is None else {"proposals": self.proposals}
        return evaluate_coco(self.model, self.dataset, detect_options=given, **options)

    def kinds(self) -> Iterable[str]:
        return self.metrics or ("bbox", "segm", *(["keypoints"] if self._has_keypoints() else []))

    def value(self, kind: str, name: str) -> float:
        return self.metrics[kind][name]

    def _has_keypoints(self) -> bool:
        config = getattr(self.model, "config", None)
        return self.dataset.keypoints is not None and bool(getattr(config, "num_keypoints", True))


class CityscapesEvaluation(_EpochEvaluation):
    """Adds Cityscapes' `val_segm_AP` and `val_segm_AP50` to the logs of an epoch.

    Args:
        dataset: `CityscapesDataset` with labels, or a `subset` of one.
        every, max_images, batch_size, verbose: as `CocoEvaluation`.

    Raises:
        ValueError: `every` is under 1; when training begins, the dataset is another or has no labels.
        ImportError: when training begins, cityscapesscripts is not installed.
    """

    logged = "AP", "AP50"

    def __init__(
        self, dataset: Any, every: int = 1, max_images: int | None = None, batch_size: int = 1, verbose: bool = False
    ):
        if max_images is not None:
            dataset = dataset.subset(range(min(max_images, len(dataset))))
        super().__init__(dataset, every, max_images, batch_size, verbose)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        check_cityscapes(self.dataset)  # now, not after an epoch

    def evaluate(self, *, max_images: int | None, **options: Any) -> dict[str, Any]:
        return evaluate_cityscapes(self.model, self.dataset, **options)

    def kinds(self) -> Iterable[str]:
        return ("segm",)

    def value(self, kind: str, name: str) -> float:
        return self.metrics[name]
