"""Which images make up which training batch where several datasets share each batch."""

import functools
from collections.abc import Sequence

import numpy as np

from mrcnn_keras.data.plan import BatchPlan

# Batches among which those of one orientation find each other.
_WINDOW = 64


class MixedPlan(BatchPlan):
    """Endless batches, each with fixed numbers of images of each part, found without walking there.

    Each part has epochs of its own, permutations of all its images. The images of the parts are spread evenly over the
    rows of a batch, so that its equal cuts have about the same of each. As far as the parts' own batches of one
    orientation allow it, those that come together are of the same.

    Args:
        counts: images of each part, >= 1; the indices of the second follow those of the first, and so on.
        shares: images of each part in a batch, >= 1.
        wide: bool, for all images; as of `BatchPlan`.
        seed, shuffle: as of `BatchPlan`.
    """

    def __init__(
        self,
        counts: Sequence[int],
        shares: Sequence[int],
        wide: np.ndarray | None = None,
        *,
        seed: int = 0,
        shuffle: bool = True,
    ):
        super().__init__(sum(counts), sum(shares), wide, seed=seed, shuffle=shuffle)
        self._starts = np.cumsum([0, *counts])
        self._plans = []
        for number, (first, last) in enumerate(zip(self._starts, self._starts[1:])):
            own_seed = int(np.random.default_rng([seed, number]).integers(2**31))
            own_wide = None if wide is None else wide[first:last]
            self._plans.append(BatchPlan(last - first, shares[number], own_wide, seed=own_seed, shuffle=shuffle))
        places = np.concatenate([(np.arange(share) + 0.5) / share for share in shares])
        self._rows = np.argsort(places, kind="stable")
        self._window = functools.lru_cache(maxsize=4)(self._make_window)

    def batch(self, step: int) -> np.ndarray:
        """Indices int64 (B,) of the images of batch `step`, >= 0."""
        window, place = divmod(step, _WINDOW)
        return self._window(window)[place]

    def replacement(self, index: int, attempt: int) -> int:
        """The image of the same part that comes so many places after a broken one."""
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        first, last = self._starts[number : number + 2].tolist()
        return first + (index - first + attempt) % (last - first)

    def _make_window(self, window: int) -> np.ndarray:
        """(64, B)."""
        steps = range(window * _WINDOW, (window + 1) * _WINDOW)
        batches = [np.stack([plan.batch(step) for step in steps]) + start
                   for plan, start in zip(self._plans, self._starts)]  # fmt: skip
        if self.wide is not None:
            order = self._by_width(batches[0])
            for own in batches[1:]:
                own[order] = own[self._by_width(own)]
        return np.concatenate(batches, axis=1)[:, self._rows]

    def _by_width(self, batches: np.ndarray) -> np.ndarray:
        return np.argsort(self.wide[batches].mean(axis=1), kind="stable")
