"""Which images make up which training batch, as a pure function of the seed and the step."""

import functools

import numpy as np

# Keep the random streams of one seed apart.
_ORDER, _AUGMENT = 1, 2
# Numbers drawn for each image. More can only be added at the end, or the batches of a seed change.
_DRAWS = 8


class BatchPlan:
    """Batches of image indices by step, without walking through the earlier ones.

    Each epoch is a permutation of all images. The images that do not fill a last batch are moved to the front of the
    next epoch, so nothing is lost and all batches are full; in a single pass the last batch is smaller. Batches hold
    one orientation each, but for at most one an epoch made of both leftovers.

    Args:
        count: number of images, >= 1.
        batch_size: images in a batch, >= 1.
        wide: bool (count,), True where an image is wider than high, or None not to group.
        seed: >= 0.
        shuffle: False keeps the images in order (within each orientation).
        repeat: whether epochs follow each other without end.
        drop_remainder: in a single pass, leave out the last batch if it is not full.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        wide: np.ndarray | None = None,
        *,
        seed: int = 0,
        shuffle: bool = True,
        repeat: bool = True,
        drop_remainder: bool = False,
    ):
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.wide, self.shuffle, self.repeat, self.drop_remainder = wide, shuffle, repeat, drop_remainder
        self._epoch_batches = functools.lru_cache(maxsize=2)(self._make_epoch)

    def __len__(self) -> int:
        """Number of batches of a single pass."""
        whole, rest = divmod(self.count, self.batch_size)
        return whole if self.drop_remainder or not rest else whole + 1

    def batch(self, step: int) -> np.ndarray:
        """Indices int64 (B,) of the images of batch `step`, >= 0."""
        if not self.repeat:
            return self._epoch_batches(0)[step]
        if self.count < self.batch_size:
            positions = step * self.batch_size + np.arange(self.batch_size)
            return np.array([self._permutation(p // self.count)[p % self.count] for p in positions.tolist()])
        # Epoch k makes the batches floor(k n / b) to floor((k + 1) n / b) - 1.
        epoch = -(-(step + 1) * self.batch_size // self.count) - 1
        return self._epoch_batches(epoch)[step - epoch * self.count // self.batch_size]

    def replacement(self, index: int, attempt: int) -> int:
        """The image that comes so many places after a broken one."""
        return (index + attempt) % self.count

    def augmentation(self, step: int) -> np.ndarray:
        """Uniform numbers in [0, 1) for each image of batch `step`: float64 (B, 8).

        For the flip, the scale, the crop's y and x, the brightness, the contrast, the saturation and the hue.
        """
        return np.random.default_rng([self.seed, _AUGMENT, step]).random((_DRAWS, self.batch_size)).T

    def _permutation(self, epoch: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.count)
        return np.random.default_rng([self.seed, _ORDER, epoch, 0]).permutation(self.count)

    def _make_epoch(self, epoch: int) -> list[np.ndarray]:
        pool = self._permutation(epoch)
        if self.repeat:
            carried_in = epoch * self.count % self.batch_size
            carried_out = (epoch + 1) * self.count % self.batch_size
            earlier = self._permutation(epoch - 1)[self.count - carried_in :] if carried_in else pool[:0]
            pool = np.concatenate([earlier, pool[: self.count - carried_out]])
        return self._group(pool, epoch)

    def _group(self, pool: np.ndarray, epoch: int) -> list[np.ndarray]:
        groups = [pool] if self.wide is None else [pool[self.wide[pool]], pool[~self.wide[pool]]]
        size, batches, left = self.batch_size, [], []
        for group in groups:
            whole = len(group) - len(group) % size
            batches += list(group[:whole].reshape(-1, size))
            left.append(group[whole:])
        rest = np.concatenate(left)
        if len(rest) >= size:
            batches.append(rest[:size])
            rest = rest[size:]
        if self.shuffle:
            order = np.random.default_rng([self.seed, _ORDER, epoch, 1]).permutation(len(batches))
            batches = [batches[position] for position in order]
        return batches + ([rest] if len(rest) and not self.drop_remainder else [])
