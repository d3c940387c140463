"""Files of precomputed proposals: where to look for objects in the images of a dataset.

A file is HDF5: `names` (N,) of the images, `sizes` (N, 2) int32 their height and width, `starts` (N + 1,) int64 which
rows are whose, `boxes` (T, 4) float32 xyxy in pixels of the images, `scores` (T,) float32, best first.
"""

import collections
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mrcnn_keras.data.dataset import origin

_FORMAT, _VERSION = "mrcnn_keras proposals", 1
_ROWS = 4096  # of a chunk in the file
_TOGETHER = 64  # images written at once


class Proposals(NamedTuple):
    """Boxes in which there may be an object.

    Attributes:
        boxes: float32 (N, 4) xyxy in pixels of the image.
        scores: float32 (N,), higher is better.
    """

    boxes: np.ndarray
    scores: np.ndarray


class ProposalWriter:
    """Writes a file image by image; a context, at whose end the file is there, or not at all after an error.

    Args:
        path: of the file; replaced if it exists.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        self._partial = self.path.with_name(f".{self.path.name}.partial")
        self._names: list[str] = []
        self._sizes: list[tuple[int, int]] = []
        self._starts = [0]
        self._waiting: list[Proposals] = []

    def __enter__(self) -> "ProposalWriter":
        import h5py  # later than the command line needs it

        self._text = h5py.string_dtype()
        self._file = h5py.File(self._partial, "w")
        for name, width in {"boxes": (4,), "scores": ()}.items():
            self._file.create_dataset(name, (0, *width), "float32", maxshape=(None, *width), chunks=(_ROWS, *width))
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        try:
            if kind is None:
                self._write()
                self._file.attrs.update({"format": _FORMAT, "version": _VERSION})
                self._file.create_dataset("names", data=self._names, dtype=self._text)
                self._file["sizes"] = np.array(self._sizes, np.int32).reshape(-1, 2)
                self._file["starts"] = np.array(self._starts, np.int64)
            self._file.close()
            if kind is None:
                os.replace(self._partial, self.path)
        finally:
            self._partial.unlink(missing_ok=True)

    def add(self, name: str, size: tuple[int, int], boxes: Any, scores: Any = None) -> None:
        """Write the proposals of an image.

        Args:
            name: `image_name` of the dataset.
            size: (height, width) of the image, pixels.
            boxes: (N, 4) xyxy in pixels of the image, best first; N may be 0.
            scores: (N,), higher is better; None: they are not known and written as 0.

        Raises:
            ValueError: other shapes, or numbers that are not finite.
        """
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4) if np.size(boxes) == 0 else np.asarray(boxes, np.float32)
        scores = np.zeros(len(boxes), np.float32) if scores is None else np.asarray(scores, np.float32)
        if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1]:
            raise ValueError(f"proposals of image {name!r}: boxes {boxes.shape} and scores {scores.shape}, expected "
                             "(N, 4) and (N,)")  # fmt: skip
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ValueError(f"proposals of image {name!r}: boxes or scores that are not finite numbers")
        self._names.append(name)
        self._sizes.append(tuple(int(side) for side in size))
        self._starts.append(self._starts[-1] + len(boxes))
        self._waiting.append(Proposals(boxes, scores))
        if len(self._waiting) == _TOGETHER:
            self._write()

    def _write(self) -> None:
        for name, rows in zip(Proposals._fields, zip(*self._waiting), strict=True) if self._waiting else ():
            array = self._file[name]
            first = len(array)
            array.resize(self._starts[-1], axis=0)
            array[first:] = np.concatenate(rows)
        self._waiting.clear()


class ProposalFile:
    """Proposals by the images' names, read when they are asked for.

    Args:
        path: of a file that `ProposalWriter`, `MaskRCNN.fit` or `mrcnn-keras proposals` has written.

    Attributes:
        names: of the images, in the file's order.
        count: of all proposals.
        most: the most proposals that an image has.

    Raises:
        ValueError: there is no such file, or it holds something else or is damaged.
    """

    def __init__(self, path: str | os.PathLike):
        import h5py

        self.path = pathlib.Path(path)
        if not self.path.is_file():
            raise ValueError(f"there is no proposal file {os.fspath(path)!r}")
        try:
            self._file = h5py.File(self.path, "r")
            if self._file.attrs.get("format") != _FORMAT:
                raise ValueError("it is HDF5 of another kind")
            self.names = tuple(self._file["names"].asstr()[:].tolist())
            self._sizes, self._starts = self._file["sizes"][:], self._file["starts"][:]
            self._check()
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(f"{self.path} is not a whole file of proposals: {error}; write it anew with "
                             "mrcnn-keras proposals") from None  # fmt: skip
        self._rows = {name: row for row, name in enumerate(self.names)}
        self.count = int(self._starts[-1])
        self.most = int(np.diff(self._starts).max(initial=0))

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def __getitem__(self, name: str) -> Proposals:
        """Of an image.

        Raises:
            ValueError: the file has none of this image.
        """
        if name not in self._rows:
            raise ValueError(f"{self.path} has no proposals of image {name!r}")
        return self.of_row(self._rows[name])

    def of_row(self, row: int) -> Proposals:
        """Those of image number `row`."""
        first, last = self._starts[row : row + 2]
        return Proposals(self._file["boxes"][first:last], self._file["scores"][first:last])

    def size_of_row(self, row: int) -> tuple[int, int]:
        """(height, width) that image number `row` had."""
        return tuple(self._sizes[row].tolist())

    def rows_for(self, dataset: Any) -> np.ndarray:
        """The row of each image of a dataset, int64 (len(dataset),).

        Raises:
            ValueError: images without proposals, by name, or names that several images share.
        """
        names = [dataset.image_name(index) for index in range(len(dataset))]
        if tuple(names) == self.names:
            return np.arange(len(names))
        missing = [name for name in names if name not in self._rows]
        if missing:
            some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise ValueError(f"{self.path} has no proposals of {len(missing)} of {len(names)} images ({some}); write "
                             "one for this dataset with mrcnn-keras proposals")  # fmt: skip
        if len(self._rows) < len(self.names):
            name, count = collections.Counter(self.names).most_common(1)[0]
            raise ValueError(f"{self.path} has {count} images called {name!r}, so it only goes with the dataset that "
                             "it was written for, all of it")  # fmt: skip
        owners: dict[str, Any] = {}
        for index, name in enumerate(names):
            source, place = origin(dataset, index)  # a view may show an image several times
            if owners.setdefault(name, (id(source), place)) != (id(source), place):
                raise ValueError(f"the dataset has several images called {name!r}, and {self.path} one; write one for "
                                 "this dataset with store_proposals")  # fmt: skip
        return np.array([self._rows[name] for name in names], np.int64)

    def _check(self) -> None:
        count, rows = len(self.names), len(self._file["boxes"])
        shapes = self._sizes.shape == (count, 2) and self._starts.shape == (count + 1,)
        if not (shapes and self._file["boxes"].shape == (rows, 4) and self._file["scores"].shape == (rows,)):
            raise ValueError("its arrays do not go together")
        if self._starts[0] != 0 or self._starts[-1] != rows or (np.diff(self._starts) < 0).any():
            raise ValueError("its `starts` are not in order")


class StoredProposals:
    """The proposals of a dataset's images, from a file.

    Args:
        path: of the file.
        dataset: `Dataset`.

    Attributes:
        most: the most that an image has, at least 1.

    Raises:
        ValueError: as of `ProposalFile` and its `rows_for`.
    """

    def __init__(self, path: str | os.PathLike, dataset: Any):
        self._file, self._dataset = ProposalFile(path), dataset
        self._rows = self._file.rows_for(dataset)
        self.most = max(1, self._file.most)

    def boxes(self, index: int, size: tuple[int, int]) -> np.ndarray:
        """float32 (N, 4) xyxy in pixels of image `index`, which is (height, width) large.

        Raises:
            ValueError: the image had another size.
        """
        row = int(self._rows[index])
        was = self._file.size_of_row(row)
        if was != tuple(size):
            name = self._dataset.image_name(index)
            raise ValueError(f"image {name!r} is (height, width) = {tuple(size)}, and was {was} when {self._file.path} "
                             "was written; write it anew")  # fmt: skip
        return self._file.of_row(row).boxes
