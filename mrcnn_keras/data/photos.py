"""Photos that nobody has labelled."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from mrcnn_keras.data.annotations import Annotations, make_annotations
from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.files import IMAGE_SUFFIXES, file_stamp
from mrcnn_keras.data.images import image_file_size, read_image


class PhotosDataset(Dataset):
    """Photos without annotations.

    Args:
        source: a folder, which is searched with those below it, a file, or several of them. Of folders, files are taken
            whose names end like images'.
        skip_broken: list photos that cannot be read in `report()` instead of raising.

    Attributes:
        folder: what `image_name` starts from: the folder given, or the one that all files lie below.

    Raises:
        ValueError: there is no such file or folder, or no photo.
    """

    def __init__(self, source: str | os.PathLike | Sequence[str | os.PathLike], skip_broken: bool = False):
        given = [source] if isinstance(source, (str, os.PathLike)) else list(source)
        self.skip_broken = skip_broken
        files = dict.fromkeys(file for one in given for file in _files(pathlib.Path(os.path.abspath(one))))
        if not files:
            raise ValueError(f"no photos in {', '.join(map(str, given)) or 'an empty list'}")
        only = pathlib.Path(os.path.abspath(given[0]))
        one_folder = len(given) == 1 and only.is_dir()
        self.folder = only if one_folder else pathlib.Path(os.path.commonpath([file.parent for file in files]))
        self._files = list(files)

    def __len__(self) -> int:
        return len(self._files)

    def load_image(self, index: int) -> np.ndarray:
        """RGB uint8 (H, W, 3)."""
        return read_image(self._files[index])

    def load_annotations(self, index: int) -> Annotations:
        """No object."""
        return make_annotations(self.image_size(index), [], boxes=[])

    def image_name(self, index: int) -> str:
        """Path of the photo from `folder`, with slashes."""
        return self._files[index].relative_to(self.folder).as_posix()

    def image_size(self, index: int) -> tuple[int, int]:
        """(height, width) in pixels, from the file's header."""
        return image_file_size(self._files[index])

    def stamp(self, index: int) -> list[int]:
        """Of the file, see `file_stamp`."""
        return file_stamp(self._files[index])


def _files(path: pathlib.Path) -> list[pathlib.Path]:
    if path.is_dir():
        closed: list[OSError] = []
        found = os.walk(path, onerror=closed.append)
        there = (pathlib.Path(where, name) for where, _, names in found for name in names)
        photos = [one for one in there if one.suffix.lower() in IMAGE_SUFFIXES
                  and (os.path.isfile(one) or not os.path.exists(one))]  # fmt: skip
        return sorted([*photos, *(pathlib.Path(error.filename) for error in closed)])  # reading tells what is wrong
    if not path.is_file():
        raise ValueError(f"there is no file or folder {str(path)!r}")
    return [path]
