"""The REST transport against servers that misbehave; no TensorFlow here."""

import http.server
import json
import socket
import threading
import time

import numpy as np
import pytest

from mrcnn_keras.serving import Client, ServerError, ServerTimeoutError, ServerUnavailableError

CLASSES = ("cat", "dog")
IMAGE = np.zeros((20, 30, 3), np.uint8)
EMPTY = {"num_detections": [0.0], "detection_boxes": [[[0, 0, 0, 0]]], "detection_classes": [[0]],
         "detection_scores": [[0]]}  # fmt: skip
GOOD = (200, {"outputs": EMPTY})


@pytest.fixture
def serve():
    """A function that starts a server which gives these answers in turn, the last one for ever."""
    started = []

    def serve(*answers):
        server = _Scripted(answers)
        started.append(server)
        return server

    yield serve
    for server in started:
        server.stop()


class _Scripted(http.server.ThreadingHTTPServer):
    daemon_threads = True
    hangs_up = False  # close the connection after each answer, without saying so

    def __init__(self, answers):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.requests = list(answers), []
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.path, json.loads(body or b"null"), self.client_address))
        answers = self.server.answers
        status, content = answers.pop(0) if len(answers) > 1 else answers[0]
        self.close_connection = self.server.hangs_up or status == "cut"
        if status == "cut":
            return
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_GET

    def log_message(self, *args):
        pass


def client_of(server, **options):
    return Client(server.address, class_names=CLASSES, **{"backoff": 0.001, "timeout": 5, **options})


def test_what_is_sent(serve):
    server = serve(GOOD)
    with Client(server.address + "/proxy/", "birds", version=3, class_names=CLASSES) as client:
        (found,) = client.detect(IMAGE)
        client.detect(IMAGE)
    assert len(found) == 0 and found.class_names == CLASSES and found.size == (20, 30)
    path, body, _ = server.requests[0]
    assert path == "/proxy/v1/models/birds/versions/3:predict"
    assert body["signature_name"] == "serving_default" and list(body["inputs"]["image_bytes"][0]) == ["b64"]
    assert server.requests[0][2] == server.requests[1][2]  # one connection for both


@pytest.mark.parametrize("status", [502, 503, "cut"])
def test_what_passes_is_tried_again(serve, status):
    server = serve((status, b"wait"), (status, {"error": "loading"}), GOOD)
    with client_of(server, retries=2) as client:
        assert len(client.detect(IMAGE)) == 1
    assert len(server.requests) == 3


def test_after_the_last_attempt_the_error_says_what_was_tried(serve):
    server = serve((503, {"error": "the queue is full"}))
    with client_of(server, retries=2) as client:
        with pytest.raises(ServerUnavailableError, match=f"{server.address} after 3 attempts.*queue is full.*503"):
            client.detect(IMAGE)
    with client_of(server, retries=0) as client, pytest.raises(ConnectionError, match="after one attempt"):
        client.detect(IMAGE)
    assert len(server.requests) == 4


def test_a_refused_request_is_not_repeated(serve):
    server = serve((400, {"error": "Unknown image file format"}))
    with client_of(server) as client, pytest.raises(ValueError, match="number 0 .*Unknown image file format"):
        client.detect(IMAGE)
    assert len(server.requests) == 1


def test_a_timeout_of_the_server_s_own_is_not_repeated(serve):
    server = serve((504, {"error": "Timed out waiting for the batch"}), GOOD)
    with client_of(server) as client, pytest.raises(ServerTimeoutError, match="in time: Timed out.*HTTP 504"):
        client.detect(IMAGE)
    assert len(server.requests) == 1


def test_the_image_that_is_refused_is_looked_for(serve):
    torn = (400, {"error": "torn"})
    with client_of(serve(torn, GOOD, torn)) as client, pytest.raises(ValueError, match="image number 1 of the list"):
        client.detect([IMAGE] * 3, batch_size=3)
    with client_of(serve(torn, GOOD)) as client, pytest.raises(ValueError, match="3 images at once.*torn"):
        client.detect([IMAGE] * 3, batch_size=3)


def test_a_kept_connection_that_was_closed_meanwhile_is_opened_again(serve):
    server = serve(GOOD)
    server.hangs_up = True
    with client_of(server, retries=0) as client:
        for _ in range(3):
            client.detect(IMAGE)
            time.sleep(0.05)
    assert len({connection for _, _, connection in server.requests}) == 3


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<html>busy</html>", "busy"),
        (b"[1]", "1"),
        (b'{"predictions": []}', r"answered without outputs: {\"predictions\": \[\]}"),
        (b'{"outputs": null}', "answered without outputs"),
        (b'{"outputs": {"detection_masks_bytes": [[null, 1]]}}', "answered without outputs: .*detection_masks_bytes"),
        (b'{"outputs": {"num_detections": [[1], [1, 2]]}}', "answered without outputs: .*num_detections"),
        (b'{"outputs": {"num_detections": [{"b64": "x"}]}}', "answered without outputs: .*b64"),
    ],
)
def test_an_answer_that_is_not_of_the_interface_s_form(serve, content, told):
    server = serve((200, content))
    with client_of(server) as client, pytest.raises(ServerError, match=told):
        client.detect(IMAGE)
    assert len(server.requests) == 1


def test_other_failures_of_the_server_are_not_repeated(serve):
    server = serve((500, {"error": "out of memory"}))
    with client_of(server) as client, pytest.raises(ServerError, match="out of memory") as caught:
        client.detect(IMAGE)
    assert not isinstance(caught.value, ConnectionError) and len(server.requests) == 1


def test_another_model_s_answer(serve):
    server = serve((200, {"outputs": {"scores": [[0.5]]}}))
    with client_of(server) as client, pytest.raises(ValueError, match="lacks num_detections"):
        client.detect(IMAGE)


def test_a_model_that_does_not_say_what_it_is(serve):
    server = serve((400, {"error": "model_info not found in signature def"}))
    with Client(server.address) as client, pytest.raises(ValueError, match="not found in signature.*class_names"):
        client.config  # noqa: B018
    server = serve((200, {"outputs": ["{}"]}))
    with Client(server.address) as client, pytest.raises(ValueError, match="no description of a served model"):
        client.class_names  # noqa: B018


def test_a_server_that_never_answers():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(address, timeout=0.2, class_names=CLASSES) as client:
            start = time.monotonic()
            with pytest.raises(ServerTimeoutError, match="no answer for 0.2 s"):
                client.detect(IMAGE)
            assert time.monotonic() - start < 2  # it is not asked again


def test_something_else_than_http():
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_say, args=(server, b"220 mail here\r\n"), daemon=True).start()
        with Client(f"http://127.0.0.1:{server.getsockname()[1]}", class_names=CLASSES) as client:
            with pytest.raises(ServerError, match="cannot be talked to"):
                client.detect(IMAGE)


def _say(server, text):
    connection, _ = server.accept()
    with connection:
        connection.sendall(text)
        while connection.recv(4096):  # a connection closed before all is read is cut, and the text may be lost
            pass


@pytest.mark.parametrize("state, ready", [("AVAILABLE", True), ("LOADING", False)])
def test_waiting_for_a_model(serve, state, ready):
    server = serve((200, {"model_version_status": [{"version": "1", "state": state}]}))
    with client_of(server) as client:
        if ready:
            client.wait_until_ready(0)
        else:
            with pytest.raises(ServerUnavailableError, match="not ready after 0.3 s: LOADING"):
                client.wait_until_ready(0.3)


def test_waiting_ends_in_time_where_nothing_answers():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(address, timeout=60, class_names=CLASSES) as client:
            start = time.monotonic()
            with pytest.raises(ServerUnavailableError, match="not ready after 0.5 s: .* gave no answer for 1 s"):
                client.wait_until_ready(0.5)
            assert time.monotonic() - start < 5


@pytest.mark.parametrize("failure", [(500, {"error": "no room"}), (200, b"<html>soon</html>"), ("cut", b"")])
def test_waiting_goes_on_after_a_failure(serve, failure):
    server = serve(failure, (200, {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}))
    with client_of(server) as client:
        client.wait_until_ready(5)
    assert len(server.requests) == 2


def test_waiting_tells_the_last_failure(serve):
    with client_of(serve((500, {"error": "no room"}))) as client:
        with pytest.raises(ServerUnavailableError, match="not ready after 0.3 s: .*no room"):
            client.wait_until_ready(0.3)


def test_a_wait_does_not_shorten_later_requests(serve):
    ready = (200, {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]})
    server = serve(ready, GOOD)
    with client_of(server, timeout=30) as client:
        client.wait_until_ready(0)
        client.detect(IMAGE)
        assert client._transport._connection.sock.gettimeout() == 30
    assert server.requests[0][2] == server.requests[1][2]
