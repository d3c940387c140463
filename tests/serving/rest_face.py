"""TensorFlow Serving's REST interface to a `ServedModel`."""

import base64
import http.server
import json
import re

import numpy as np
import tensorflow as tf
from served_model import RequestError, ServedModel

_PREDICT = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?:predict")
_MODEL = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(/metadata)?")
_HTTP = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400, "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403, "NOT_FOUND": 404, "ALREADY_EXISTS": 409, "ABORTED": 409, "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504,
}  # fmt: skip


def make_server(model: ServedModel, port: int) -> http.server.ThreadingHTTPServer:
    """A server on a port of this machine; 0 chooses one."""

    class Handler(_Handler):
        served = model

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    return server


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    served: ServedModel

    def do_GET(self):
        self._answer(self._describe)

    def do_POST(self):
        self._answer(self._predict)

    def log_message(self, *args):
        pass

    def _answer(self, make):
        try:
            status, content = 200, make()
        except RequestError as error:
            status, content = _HTTP.get(error.code, 500), {"error": str(error)}
        except Exception as error:
            status, content = 500, {"error": f"{type(error).__name__}: {error}"}
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _describe(self) -> dict:
        match = _MODEL.fullmatch(self.path)
        if not match:
            raise RequestError("INVALID_ARGUMENT", f"Malformed request: GET {self.path}")
        self._check(match)
        if not match[3]:
            state = {"version": str(self.served.version), "state": "AVAILABLE"}
            return {"model_version_status": [{**state, "status": {"error_code": "OK", "error_message": ""}}]}
        signatures = {name: {"inputs": sorted(self.served.inputs_of(name))} for name in self.served.signatures}
        spec = {"name": self.served.name, "signature_name": "", "version": str(self.served.version)}
        return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": signatures}}}

    def _predict(self) -> dict:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))  # first, or the connection is out of step
        match = _PREDICT.fullmatch(self.path)
        if not match:
            raise RequestError("INVALID_ARGUMENT", f"Malformed request: POST {self.path}")
        self._check(match)
        request = _parse(body)
        signature = request.get("signature_name", "serving_default")
        specs = self.served.inputs_of(signature)
        if "instances" in request:
            return {"predictions": _rows(self.served.run(signature, _from_rows(request["instances"], specs)))}
        outputs = self.served.run(signature, _from_columns(request["inputs"], specs))
        values = {name: _to_json(name, value) for name, value in outputs.items()}
        return {"outputs": values if len(values) > 1 else next(iter(values.values()))}

    def _check(self, match: re.Match) -> None:
        self.served.check(match[1], None if match[2] is None else int(match[2]))


def _parse(body: bytes) -> dict:
    try:
        request = json.loads(body)
    except ValueError as error:
        raise RequestError("INVALID_ARGUMENT", f"JSON Parse error: {error}") from error
    if not isinstance(request, dict) or ("instances" in request) == ("inputs" in request):
        raise RequestError("INVALID_ARGUMENT", "Missing 'inputs' or 'instances' key")
    return request


def _from_columns(values, specs: dict[str, tf.TensorSpec]) -> dict[str, np.ndarray]:
    named = values if isinstance(values, dict) and "b64" not in values else {next(iter(specs)): values}
    return {name: _tensor(value, specs.get(name)) for name, value in named.items()}


def _from_rows(rows, specs: dict[str, tf.TensorSpec]) -> dict[str, np.ndarray]:
    if not isinstance(rows, list) or not rows:
        raise RequestError("INVALID_ARGUMENT", "Expected 'instances' to be a list with something in it")
    named = [row if isinstance(row, dict) and "b64" not in row else {next(iter(specs)): row} for row in rows]
    if any(set(row) != set(named[0]) for row in named):
        raise RequestError("INVALID_ARGUMENT", "The rows of 'instances' have different names")
    return {name: _tensor([row[name] for row in named], specs.get(name)) for name in named[0]}


def _rows(outputs: dict[str, np.ndarray]) -> list:
    columns = {name: _to_json(name, value) for name, value in outputs.items()}
    rows = [dict(zip(columns, row)) for row in zip(*columns.values())]
    return rows if len(columns) > 1 else [next(iter(row.values())) for row in rows]


def _tensor(value, spec: tf.TensorSpec | None) -> np.ndarray:
    try:
        array = np.array(_decoded(value), object if spec is not None and spec.dtype == tf.string else None)
    except ValueError as error:
        raise RequestError("INVALID_ARGUMENT", f"Failed to process an input: {error}") from error
    return array


def _decoded(value):
    if isinstance(value, list):
        return [_decoded(one) for one in value]
    if isinstance(value, dict):
        if set(value) != {"b64"}:
            raise ValueError(f"JSON object {str(value)[:60]} is not base64 encoded")
        return base64.b64decode(value["b64"], validate=True)
    return value.encode() if isinstance(value, str) else value


def _to_json(name: str, array: np.ndarray):
    return _texts(name, array.tolist()) if array.dtype == object else array.tolist()


def _texts(name: str, value: bytes | list):
    if isinstance(value, list):
        return [_texts(name, one) for one in value]
    return {"b64": base64.b64encode(value).decode()} if name.endswith("_bytes") else value.decode()
