"""The one place where the command calls `detect`."""

import contextlib
import functools
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mrcnn_keras.commands.detection.results import make_categories
from mrcnn_keras.commands.options import UsageError

_TRIAL_SIDE = 32  # pixels


class Detector:
    """A model that is opened when it is first needed, and what to tell it; a context.

    Args:
        open_model: gives a context of a `MaskRCNN`, a `serving.Client` or the like.
        batch_size: images at a time on each device, 1 or more.
        options: further arguments of `detect`.
    """

    def __init__(
        self,
        open_model: Callable[[], contextlib.AbstractContextManager],
        batch_size: int = 1,
        options: Mapping[str, Any] | None = None,
    ):
        self.batch_size, self.options = batch_size, dict(options or {})
        self._open_model, self._stack = open_model, contextlib.ExitStack()

    def __enter__(self) -> "Detector":
        return self

    def __exit__(self, *_: Any) -> None:
        self._stack.close()

    def __call__(self, images: Sequence[Any]) -> list[Any]:
        """`Detections` of images, with masks as run lengths."""
        return self.model.detect(list(images), batch_size=self.batch_size, masks="rle", **self.options)

    @functools.cached_property
    def model(self) -> Any:
        """The model, open.

        Raises:
            UsageError: there is none, or it cannot detect with these options.
        """
        model = self._stack.enter_context(self._open_model())
        if self.options:  # or a mistake in them would look like a fault of every image
            try:
                trial = [np.zeros((_TRIAL_SIDE, _TRIAL_SIDE, 3), np.uint8)]
                model.detect(trial, batch_size=1, masks="rle", **self.options)
            except ValueError as error:
                raise UsageError(str(error)) from error
        return model

    @functools.cached_property
    def categories(self) -> list[dict[str, Any]]:
        """Of the model, as a COCO file has them."""
        return make_categories(self.model.config)

    def each(self, paths: Sequence[pathlib.Path]) -> list[Any]:
        """`Detections` of each image file, or as text what is wrong with it; the others are not lost for that.

        Raises:
            ConnectionError: the server is gone, and was waited for.
        """
        from mrcnn_keras.data.images import image_file_size

        self.model  # noqa: B018 - what is wrong with the model is not the images' fault
        broken = faults(paths, image_file_size)  # from the headers, which is cheap
        found = broken | self._detected([path for path in paths if path not in broken])
        return [found[path] for path in paths]

    def _detected(self, paths: list[pathlib.Path]) -> dict[pathlib.Path, Any]:
        from mrcnn_keras.data import read_image

        if not paths:
            return {}
        try:
            return dict(zip(paths, self(paths), strict=True))
        except ConnectionError:
            raise
        except (ValueError, OSError) as error:
            if len(paths) == 1:
                return {paths[0]: str(error)}
        found = faults(paths, read_image)
        left = [path for path in paths if path not in found]
        for part in [left] if found else [[path] for path in left]:
            found |= self._detected(part)
        return found


def faults(paths: Iterable[pathlib.Path], read: Callable[[pathlib.Path], Any]) -> dict[pathlib.Path, str]:
    """What is wrong with the files that cannot be read."""
    found = {}
    for path in paths:
        try:
            read(path)
        except (ValueError, OSError) as error:
            found[path] = str(error)
    return found
