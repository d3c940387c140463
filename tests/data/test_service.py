"""Batches made by other processes: all of them, in order, the same as made here."""

import contextlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from mrcnn_keras.config import MaskRCNNConfig
from mrcnn_keras.data import ShapesDataset, hosted, training_batches
from mrcnn_keras.data.hosted import checked_address
from mrcnn_keras.data.service import serve_batches
from mrcnn_keras.training.feed import training_feed

_OPTIONS = {"batch_size": 4, "min_side": (48, 64), "max_side": 64, "mask_size": 16, "seed": 3}
_HOST = (
    "from mrcnn_keras.data import ShapesDataset\n"
    "from mrcnn_keras.data.service import serve_batches\n"
    "host = serve_batches(ShapesDataset(26, seed=1, size=(64, 64)))\n"
    "print(host.address, flush=True)\n"
    "host.join()\n"
)


@contextlib.contextmanager
def _running_host():
    """A process that makes batches, and its address."""
    with subprocess.Popen([sys.executable, "-c", _HOST], stdout=subprocess.PIPE, text=True) as process:
        yield process, process.stdout.readline().strip()
        process.kill()


@pytest.fixture(scope="module")
def hosts():
    with _running_host() as (_, first), _running_host() as (_, second):
        yield [first, second]


def _shapes(count=26):
    return ShapesDataset(count, seed=1, size=(64, 64))


def _arrays(batches, count=-1):
    return [{name: value.numpy() for name, value in batch.items()} for batch in batches.take(count)]


def _assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert list(one) == list(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_two_hosts_make_every_batch_of_an_epoch_once_and_in_order(hosts):
    options = {**_OPTIONS, "repeat": False, "drop_remainder": False}
    found = _arrays(training_batches(_shapes(), hosts=hosts, **options))
    assert sorted(np.concatenate([batch["image_index"] for batch in found]).tolist()) == list(range(26))
    _assert_same(found, _arrays(training_batches(_shapes(), **options)))


def test_hosts_serve_another_training_from_where_it_stopped_and_its_parts(hosts):
    options = {**_OPTIONS, "seed": 5, "start_step": 9, "num_shards": 4, "shards": (2, 3), "scale_jitter": (0.5, 2.0)}
    options |= {"crop_size": (64, 96)}
    found = _arrays(training_batches(_shapes(), hosts=hosts, **options), 7)
    assert {batch["images"].shape for batch in found} == {(1, 64, 96, 3)}
    _assert_same(found, _arrays(training_batches(_shapes(), **options), 7))


def test_a_model_is_fed_the_same_by_hosts(hosts):
    config = MaskRCNNConfig(
        num_classes=3, image_min_side=64, image_max_side=64, scale_jitter=(0.5, 2), crop_size=(64, 64)
    )
    feeds = [training_feed(_shapes(), config, 2, 1, 5, None, names) for names in (hosts, ())]
    _assert_same(_arrays(feeds[0], 3), _arrays(feeds[1], 3))


def test_another_dataset_is_refused_with_both_counts(hosts):
    batches = training_batches(_shapes(9), hosts=hosts, **_OPTIONS)
    with pytest.raises(Exception, match="ValueError: the input host has 26 images, the training 9"):
        _arrays(batches, 1)


@pytest.mark.parametrize("address", ["5050", "machine", "machine:", ":5050", "machine:port", "machine:70000"])
def test_addresses_that_cannot_be(address):
    with pytest.raises(ValueError, match=f"input host '{address}': expected its address as name:port"):
        checked_address(address)


def test_a_host_that_ends_is_named(monkeypatch):
    monkeypatch.setattr(hosted, "_PATIENCE", 1.0)
    with _running_host() as (process, address):
        batches = iter(training_batches(_shapes(), hosts=[address], **_OPTIONS))
        next(batches)
        process.kill()
    with pytest.raises(Exception, match=f"ValueError: input host {address} does not answer .*; start it again"):
        for _ in range(100):
            next(batches)


def test_a_host_that_was_never_there_is_named(monkeypatch):
    monkeypatch.setattr(hosted, "_FIRST_PATIENCE", 1.0)
    with pytest.raises(Exception, match="ValueError: input host localhost:9 does not answer"):
        _arrays(training_batches(_shapes(), hosts=["localhost:9"], **_OPTIONS), 1)


@pytest.mark.slow
def test_a_port_in_use_is_named_and_a_process_is_one_host():
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=f"input host 'localhost:{port}' cannot use port {port}"):
            serve_batches(_shapes(), f"localhost:{port}")
    host = serve_batches(_shapes())
    assert host.address.startswith("localhost:")
    with pytest.raises(ValueError, match="an input host already"):
        serve_batches(_shapes())
