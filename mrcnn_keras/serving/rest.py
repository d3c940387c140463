"""TensorFlow Serving's REST interface, by the standard library alone."""

import base64
import contextlib
import http.client
import json
import math
import ssl
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrcnn_keras.serving.errors import Absent, Refused, ServerError, ServerTimeoutError, Unreached

_REPEATABLE = (502, 503)  # a proxy without its server, a server that is starting or full


class RestTransport:
    """Requests over one connection, which is kept and made anew when it was cut.

    Args:
        address: "http://host:8501" or "https://...", with the path before "/v1" if there is one.
        model: name of the served model.
        version: which one; None: the newest.
        connect_timeout: seconds to wait for a connection.
        timeout: seconds to wait for the next byte of an answer.

    Raises:
        ValueError: the address is none.
    """

    def __init__(self, address: str, model: str, version: int | None, connect_timeout: float, timeout: float):
        parts = urllib.parse.urlsplit(address)
        make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = make(_host(parts, address), parts.port, timeout=connect_timeout)
        self._address = address
        self._connect_timeout, self._timeout = connect_timeout, timeout
        at = "" if version is None else f"/versions/{version}"
        self._path = f"{parts.path.rstrip('/')}/v1/models/{urllib.parse.quote(model, safe='')}{at}"

    def predict(self, signature: str, inputs: Mapping[str, Sequence[bytes]]) -> dict[str, np.ndarray]:
        """Run one of the model's signatures.

        Args:
            signature: its name.
            inputs: name of a string tensor -> its N values.

        Returns:
            Name of a tensor -> its values, strings as bytes; where there is one tensor, its name is "outputs".

        Raises:
            Unreached, Refused, Absent, ServerError: see there.
        """
        values = {name: [{"b64": base64.b64encode(one).decode()} for one in many] for name, many in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": values}).encode()
        answer = self._ask("POST", f"{self._path}:predict", body)
        try:
            outputs = answer["outputs"]
            # The interface leaves out the name of a single tensor.
            named = outputs if isinstance(outputs, dict) else {"outputs": outputs}
            return {name: _array(value) for name, value in named.items()}
        except (KeyError, TypeError, ValueError) as error:
            told = _start(json.dumps(answer).encode())
            raise ServerError(f"the server at {self._address} answered without outputs: {told}") from error

    def state(self, timeout: float = math.inf) -> str:
        """State of the model's newest version (or the one asked for), such as "AVAILABLE" or "LOADING".

        Args:
            timeout: seconds to wait for a connection or an answer, where the transport's are not less; above 0.

        Raises:
            Unreached, Refused, Absent, ServerError: see there.
        """
        versions = self._ask("GET", self._path, timeout=timeout).get("model_version_status", [])
        states = [one.get("state", "UNKNOWN") for one in versions]
        return "AVAILABLE" if "AVAILABLE" in states else next(iter(states), "UNKNOWN")

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()

    def _ask(self, method: str, path: str, body: bytes | None = None, timeout: float = math.inf) -> dict[str, Any]:
        """The JSON object of an answer."""
        kept = self._connection.sock is not None
        try:
            try:
                status, content = self._exchange(method, path, body, timeout)
            except Unreached:
                if not kept:
                    raise
                # Servers close connections that lay idle, which is noticed only now.
                status, content = self._exchange(method, path, body, timeout)
        except BaseException:  # an answer that comes late must not be taken for the next one's
            self.close()
            raise
        answer = _json(content)
        if status == http.HTTPStatus.OK and isinstance(answer, dict):
            return answer
        told = answer["error"] if isinstance(answer, dict) and "error" in answer else _start(content)
        raise _failure(status, f"{told} (HTTP {status})", self._address)

    def _exchange(self, method: str, path: str, body: bytes | None, timeout: float) -> tuple[int, bytes]:
        connection = self._connection
        if connection.sock is None:
            connection.timeout = min(timeout, self._connect_timeout)
            with self._explained():
                connection.connect()
        timeout = min(timeout, self._timeout)
        connection.sock.settimeout(timeout)
        with self._explained(timeout):
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            return response.status, response.read()

    @contextlib.contextmanager
    def _explained(self, asking: float | None = None):
        """Turns what the standard library raises into this package's errors; `asking` is for how many seconds."""
        try:
            yield
        except Exception as error:
            self.close()
            if isinstance(error, TimeoutError) and asking is not None:
                raise ServerTimeoutError(f"{self._address} gave no answer for {asking:.3g} s") from error
            if _speaks_otherwise(error):
                raise ServerError(f"{self._address} cannot be talked to: {_text(error)}") from error
            if not isinstance(error, (OSError, http.client.IncompleteRead)):
                raise
            raise Unreached(_text(error)) from error


def _host(parts: urllib.parse.SplitResult, address: str) -> str:
    with contextlib.suppress(ValueError):  # urllib finds only now that a port is none
        if parts.hostname and (parts.port is None or parts.port):
            return parts.hostname
    raise ValueError(f"{address!r}: expected the address of a server, such as http://localhost:8501")


def _speaks_otherwise(error: Exception) -> bool:
    """Whether what came back is no HTTP, or no TLS that is trusted; not where the connection was just cut."""
    cut = isinstance(error, (ConnectionError, http.client.IncompleteRead, ssl.SSLEOFError, ssl.SSLZeroReturnError))
    return isinstance(error, (http.client.HTTPException, ssl.SSLError)) and not cut


def _failure(status: int, told: str, address: str) -> Exception:
    if status in _REPEATABLE:
        return Unreached(told)
    if status == http.HTTPStatus.GATEWAY_TIMEOUT:
        return ServerTimeoutError(f"the server at {address} gave no answer in time: {told}")
    if status == http.HTTPStatus.NOT_FOUND:
        return Absent(told)
    if status in (http.HTTPStatus.BAD_REQUEST, http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
        return Refused(told)
    return ServerError(f"the server at {address} failed: {told}")


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _array(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind == "O":  # {"b64": ...}, which the server writes where a name ends with "_bytes"
        decoded = np.empty(array.shape, object)
        decoded.flat = [base64.b64decode(one["b64"]) for one in array.flat]
        return decoded
    return np.char.encode(array, "utf-8") if array.dtype.kind == "U" else array


def _start(content: bytes) -> str:
    return content[:200].decode("utf-8", "replace").strip() or "an empty answer"


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
