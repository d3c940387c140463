"""Videos and cameras as images with times, and back; by PyAV, an extra."""

import fractions
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mrcnn_keras.commands.options import UsageError

_USUAL_RATE = fractions.Fraction(25)  # frames a second, of files that do not say
_CODECS = {"libx264": {"crf": "20"}, "mpeg4": {"qscale": "4"}}  # the first that this PyAV has


class Frame(NamedTuple):
    """A frame: its number from 0, the seconds since the first one, and RGB uint8 (H, W, 3)."""

    number: int
    time: float
    pixels: np.ndarray


def require_av() -> Any:
    """The module `av`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise UsageError('videos and cameras need PyAV: pip install "mrcnn-keras[video]"') from error
    av.logging.set_level(None)  # errors are raised, the rest is for developers
    return av


def camera_device(number: int) -> tuple[str, str]:
    """File and format that FFmpeg knows a camera of this machine by."""
    return (str(number), "avfoundation") if sys.platform == "darwin" else (f"/dev/video{number}", "v4l2")


class VideoReader:
    """The frames of a video, upright; a context.

    Args:
        file: path of the file, or a device's name.
        form: FFmpeg's name of the device's kind; None: a file.
        every: give one frame of so many, 1 or more.

    Attributes:
        rate: frames a second of those given, a fraction.

    Raises:
        UsageError: PyAV is not installed.
        ValueError: it cannot be read, which may also turn out later; the message names it.
    """

    def __init__(self, file: str | os.PathLike, form: str | None = None, every: int = 1):
        self.name, self._av, self._every = os.fspath(file), require_av(), every
        try:
            # Without "file:", FFmpeg takes what is before a colon in a name for a protocol.
            self._container = self._av.open(self.name if form else f"file:{self.name}", format=form)
            if not self._container.streams.video:
                self._container.close()
                raise ValueError(f"cannot read video {self.name}: there are no pictures in it")
        except (self._av.FFmpegError, OSError) as error:
            raise ValueError(f"cannot read video {self.name}: {_reason(error)}") from error
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        rate = self._stream.average_rate or self._stream.guessed_rate or _USUAL_RATE
        self.rate = fractions.Fraction(rate) / every

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: Any) -> None:
        self._container.close()

    def about(self) -> int | None:
        """How many frames there are by what the file says of itself; None if it does not."""
        return -(-self._stream.frames // self._every) or None

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """The frames from one of those given on, counted from 0."""
        first = None
        for number, frame in enumerate(self._decoded()):
            first = frame.time if first is None else first
            if number % self._every or number // self._every < start:
                continue
            known = None not in (first, frame.time)
            time = frame.time - first if known else number / float(self.rate * self._every)
            pixels = np.rot90(frame.to_ndarray(format="rgb24"), round(getattr(frame, "rotation", 0) / 90))
            yield Frame(number, round(time, 6), np.ascontiguousarray(pixels))

    def _decoded(self) -> Iterator[Any]:
        try:
            yield from self._container.decode(self._stream)
        except self._av.FFmpegError as error:
            raise ValueError(f"cannot read video {self.name} to its end: {_reason(error)}") from error


class VideoWriter:
    """Writes a video; a context, whose end makes it appear at its path unless there was an error.

    Args:
        path: of the file; its ending says which format. Missing folders are made.
        rate: frames a second; frames are put where their times are nearest to.
    """

    def __init__(self, path: pathlib.Path, rate: fractions.Fraction):
        self._av, self._path, self._rate = require_av(), path, fractions.Fraction(rate).limit_denominator(60000)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._beside = path.with_name(f".partial{path.suffix}")  # short, for names as long as names can be
        self._container = self._av.open(f"file:{self._beside}", "w")
        self._stream, self._last = None, -1

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, error: Any, *_: Any) -> None:
        try:
            if error is None and self._stream is not None:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()
        if error is None and self._stream is not None:
            self._beside.replace(self._path)
        else:
            self._beside.unlink(missing_ok=True)

    def add(self, pixels: np.ndarray, time: float) -> None:
        """Write a frame: RGB uint8 (H, W, 3), of the first one's size, at so many seconds."""
        height, width = pixels.shape[:2]
        if self._stream is None:
            self._stream = self._open_stream(height + height % 2, width + width % 2)
        even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")  # as the codecs want it
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        self._last = max(self._last + 1, round(time * self._rate))
        frame.pts, frame.time_base = self._last, 1 / self._rate
        self._container.mux(self._stream.encode(frame))

    def _open_stream(self, height: int, width: int) -> Any:
        codec = next(name for name in _CODECS if name in self._av.codecs_available)
        stream = self._container.add_stream(codec, rate=self._rate, options=_CODECS[codec])
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        return stream


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
