"""What a training batch depends on beside the dataset and its number."""

import dataclasses
import numbers
from collections.abc import Sequence

import numpy as np

from mrcnn_keras.data.augmentation import Augmentation
from mrcnn_keras.data.batches import BatchMaker
from mrcnn_keras.data.dataset import Dataset, knows_sizes
from mrcnn_keras.data.mixed import MixedDataset
from mrcnn_keras.data.mixed_plan import MixedPlan
from mrcnn_keras.data.plan import BatchPlan
from mrcnn_keras.data.proposals import StoredProposals


@dataclasses.dataclass(frozen=True)
class BatchRecipe:
    """The arguments of `training_batches` that say what is in a batch; they are explained there.

    Raises:
        ValueError: one out of range.
    """

    batch_size: int
    min_sides: Sequence[int]
    max_side: int
    size_divisor: int
    flip: bool
    mask_size: int
    num_keypoints: int
    seed: int
    shuffle: bool
    repeat: bool
    drop_remainder: bool
    skip_broken: bool
    color_jitter: Sequence[float]
    scale_jitter: Sequence[float]
    crop_size: Sequence[int]
    fixed_shapes: bool
    proposals: str | None = None

    def __post_init__(self):
        check_least(batch_size=(self.batch_size, 1), max_side=(self.max_side, 1), mask_size=(self.mask_size, 0))
        check_least(seed=(self.seed, 0), min_side=(min(self.min_sides, default=0), 1))

    def maker(self, dataset: Dataset) -> BatchMaker:
        """What makes the batches of a dataset.

        Raises:
            ValueError: the dataset has no images, other keypoints, or images without proposals.
        """
        if len(dataset) == 0:
            raise ValueError("the dataset has no image")
        _check_keypoints(dataset, self.num_keypoints)
        jitter = tuple(self.color_jitter), tuple(self.scale_jitter), tuple(self.crop_size)
        augmentation = Augmentation(tuple(self.min_sides), self.max_side, self.flip, *jitter, self.fixed_shapes)
        # With large-scale jitter all batches have one size, whatever is in them.
        wide = _wide(dataset) if self.batch_size > 1 and not self.scale_jitter else None
        plan = self._plan(dataset, wide)
        skip = self.skip_broken or dataset.skip_broken
        sizes = self.size_divisor, self.mask_size, self.num_keypoints
        proposals = StoredProposals(self.proposals, dataset) if self.proposals else None
        return BatchMaker(dataset, plan, augmentation, *sizes, skip, proposals)

    def _plan(self, dataset: Dataset, wide: np.ndarray | None) -> BatchPlan:
        if isinstance(dataset, MixedDataset) and self.repeat:
            counts = [len(part) for part in dataset.parts]
            return MixedPlan(counts, dataset.shares(self.batch_size), wide, seed=self.seed, shuffle=self.shuffle)
        order = {"shuffle": self.shuffle, "repeat": self.repeat, "drop_remainder": self.drop_remainder}
        return BatchPlan(len(dataset), self.batch_size, wide, seed=self.seed, **order)


def check_least(**values: tuple[int, int]) -> None:
    """Raises ValueError for the first argument, given as (value, least), that is too small."""
    for name, (value, least) in values.items():
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} must be a whole number, at least {least}, got {value!r}")


def _wide(dataset: Dataset) -> np.ndarray | None:
    if not knows_sizes(dataset):
        return None
    sizes = np.array([dataset.image_size(index) for index in range(len(dataset))])
    return sizes[:, 1] > sizes[:, 0]


def _check_keypoints(dataset: Dataset, count: int) -> None:
    given = 0 if dataset.keypoints is None else len(dataset.keypoints)
    if count not in (0, given):
        raise ValueError(f"num_keypoints={count}, but the dataset's objects have {given or 'no'} keypoints")
