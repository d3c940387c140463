"""What `Client` does not take, and gRPC without its package."""

import sys

import pytest

from mrcnn_keras.serving import Client, ServerUnavailableError, retry
from mrcnn_keras.serving.errors import Unreached


@pytest.mark.parametrize(
    "address", ["", "localhost", "localhost:grpc", "http://", "http://host:port", "ftp://host:21/"]
)
def test_addresses_that_are_none(address):
    with pytest.raises(ValueError, match=r"expected the address of a server, such as http://.*:8501"):
        Client(address)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"connect_timeout": -1}, {"retries": -1}, {"backoff": -0.1}])
def test_values_out_of_their_ranges(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name}=.*expected"):
        Client("http://localhost:8501", **options)


def test_a_batch_of_none():
    with pytest.raises(ValueError, match="batch_size=0"):
        Client("http://localhost:8501").detect([], batch_size=0)


def test_no_images_need_no_server():
    assert Client("http://localhost:1").detect([]) == []


def test_grpc_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis.prediction_service_pb2_grpc", None)
    with pytest.raises(ImportError, match=r'pip install "mrcnn-keras\[serving\]", or use REST'):
        Client("localhost:8500")


def test_pauses_double_and_end_with_the_last_attempt(monkeypatch):
    pauses = []
    monkeypatch.setattr(retry.time, "sleep", pauses.append)
    monkeypatch.setattr(retry.random, "uniform", lambda low, high: high)

    def fail():
        raise Unreached("refused")

    with pytest.raises(ServerUnavailableError, match="at here after 4 attempts.*refused"):
        retry.Patience(3, 0.5).call(fail, "here")
    assert pauses == [0.5, 1, 2]
