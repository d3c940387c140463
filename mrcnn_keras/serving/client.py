"""Detection by a model that TensorFlow Serving serves."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrcnn_keras.config import MaskRCNNConfig
from mrcnn_keras.inference import Detections
from mrcnn_keras.serving import model_info
from mrcnn_keras.serving.answers import PROBABILITIES, read_answer
from mrcnn_keras.serving.errors import Absent, Refused, ServerError, ServerUnavailableError, Unreached
from mrcnn_keras.serving.retry import Patience
from mrcnn_keras.serving.wire import encode, name_of

_POLL = 0.2  # seconds between looks whether the server is ready
_LOOK = 1.0  # seconds that a look may take at least


class Client:
    """A served model with the `detect` of a local one. Over REST, TensorFlow is not needed.

    A connection is opened by the first request and kept. Give each thread a client of its own.

        with Client("http://localhost:8501") as client:
            found = client.detect(["a.jpg", "b.png"], batch_size=2)

    A request is repeated where the server cannot be reached, breaks the connection, or says that it is starting or full
    (HTTP 502, 503; UNAVAILABLE); not where it finds fault with the request, nor where it gives no answer in time, which
    it may say itself (HTTP 504; DEADLINE_EXCEEDED).

    Args:
        address: "http://host:8501" or "https://..." for REST; "host:8500" or "grpc://host:8500" for gRPC, which needs
            `pip install "mrcnn-keras[serving]"`.
        model_name: the name that the model is served under.
        version: which version of it, 1 or more; None: the newest.
        connect_timeout: seconds to wait for a connection, above 0.
        timeout: seconds to wait for an answer, above 0.
        retries: how often a request is repeated, 0 or more.
        backoff: seconds before the first repetition, 0 or more; before each further one, twice as many.
        class_names: names of the classes, for a model that does not say what it is; None: ask the model.

    Raises:
        ValueError: an address that is none, or a value out of its range.
        ImportError: gRPC is asked for and not installed.
    """

    def __init__(
        self,
        address: str,
        model_name: str = "mask_rcnn",
        *,
        version: int | None = None,
        connect_timeout: float = 5.0,
        timeout: float = 60.0,
        retries: int = 5,
        backoff: float = 0.5,
        class_names: Sequence[str] | None = None,
    ):
        for name, value in {"connect_timeout": connect_timeout, "timeout": timeout}.items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name}={value}: expected seconds above 0")
        self.address = address
        self.model_name = model_name
        self._version = version
        self._patience = Patience(retries, backoff)
        self._transport = _transport(address)(_without_scheme(address), model_name, version, connect_timeout, timeout)
        self._info = None
        if class_names is not None:
            names = tuple(class_names)
            self._info = MaskRCNNConfig(num_classes=len(names), class_names=names), PROBABILITIES

    @property
    def config(self) -> MaskRCNNConfig:
        """Of the served model, which is asked once; of `class_names` and nothing else where those were given.

        Raises:
            ValueError: there is no such model, or it does not say what it is.
            ServerError: no answer.
        """
        return self._facts[0]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class."""
        return self.config.names

    def detect(
        self,
        images: Any,
        batch_size: int = 1,
        score_threshold: float | None = None,
        masks: str | None = "bitmap",
    ) -> list[Detections]:
        """Find the objects in images, as `MaskRCNN.detect` does.

        JPEG and PNG files are sent as they are, everything else as PNG; so are photos whose orientation is not in EXIF
        but in XMP, for instance.

        Args:
            images: one image or a list of them: RGB uint8 array (H, W, 3), path, bytes of a file or PIL image, of any
                sizes.
            batch_size: images in one request.
            score_threshold: keep detections above this score; None: the model's. Only higher values have an effect.
            masks: "bitmap" for `Detections.masks`, "rle" for `Detections.rles` (COCO run lengths), None for neither.

        Returns:
            One `Detections` an image, boxes and masks in the frame of the upright image.

        Raises:
            ValueError: an image that cannot be read, by name; or there is no such model.
            ServerUnavailableError: the server cannot be reached.
            ServerTimeoutError: the server gave no answer in time.
            ServerError: the server failed otherwise.
        """
        images = list(images) if isinstance(images, (list, tuple)) else [images]
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: expected a whole number from 1 up")
        found = []
        for start in range(0, len(images), batch_size):
            chunk = images[start : start + batch_size]
            files, sizes = zip(*map(encode, chunk))
            answer = self._detect_files(files, [name_of(image, start + i) for i, image in enumerate(chunk)])
            found += read_answer(answer, sizes, *self._facts, masks, score_threshold, chunk)
        return found

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Wait for a server that is starting.

        Args:
            timeout: seconds, 0 or more; the last look may take another second.

        Raises:
            ServerUnavailableError: the model is not ready after that time; the message says what it was last.
        """
        end = time.monotonic() + timeout
        while True:
            try:
                state = self._transport.state(max(end - time.monotonic(), _LOOK))
            except (Unreached, Absent, Refused, ServerError) as error:
                state = str(error)
            if state == "AVAILABLE":
                return
            if time.monotonic() + _POLL > end:
                raise ServerUnavailableError(f"{self._model} is not ready after {timeout:g} s: {state}")
            time.sleep(_POLL)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    @property
    def _model(self) -> str:
        version = "" if self._version is None else f", version {self._version},"
        return f"model {self.model_name!r}{version} at {self.address}"

    @property
    def _facts(self) -> tuple[MaskRCNNConfig, str]:
        """Of `model_info.from_json`."""
        if self._info is None:
            self._info = self._ask_what_it_is()
        return self._info

    def _ask(self, signature: str, inputs: Mapping[str, Sequence[bytes]]) -> dict[str, np.ndarray]:
        try:
            return self._patience.call(lambda: self._transport.predict(signature, inputs), self.address)
        except Absent as error:
            raise ValueError(f"there is no {self._model}: {error}") from error

    def _ask_what_it_is(self) -> tuple[MaskRCNNConfig, str]:
        try:
            (text,) = next(iter(self._ask("model_info", {"keys": [model_info.KEY.encode()]}).values()))
        except Refused as error:
            remedy = "export it again with this version of the package, or give the client class_names"
            raise ValueError(f"{self._model} does not say what it is ({error}); {remedy}") from error
        return model_info.from_json(text.decode())

    def _detect_files(self, files: Sequence[bytes], names: Sequence[str]) -> dict[str, np.ndarray]:
        try:
            return self._ask("serving_default", {"image_bytes": files})
        except Refused as error:
            if len(files) == 1:
                raise ValueError(f"cannot detect in image {names[0]}: the server says: {error}") from error
            for file, name in zip(files, names):  # which of them it is, the server does not say
                self._detect_files([file], [name])
            what = f"cannot detect in {len(files)} images at once, only in each alone"
            raise ValueError(f"{what}: {', '.join(names)}; the server says: {error}") from error


def _transport(address: str) -> Any:
    """The class that talks to such an address."""
    if address.startswith(("http://", "https://")):
        from mrcnn_keras.serving.rest import RestTransport

        return RestTransport
    host, _, port = _without_scheme(address).rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        expected = "http://host:8501 for REST or host:8500 for gRPC"
        raise ValueError(f"{address!r}: expected the address of a server, such as {expected}")
    from mrcnn_keras.serving.rpc import GrpcTransport

    return GrpcTransport


def _without_scheme(address: str) -> str:
    return address.removeprefix("grpc://")
