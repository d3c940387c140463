"""Which devices and machines a training runs on."""

import json
import socket

import pytest
import tensorflow as tf

from mrcnn_keras.training.cluster import is_chief, make_strategy


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_NTASKS", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


def test_one_device_needs_no_strategy():
    for strategy in (make_strategy(), make_strategy(1)):
        assert strategy is tf.distribute.get_strategy() and is_chief(strategy)


@pytest.mark.parametrize("config", ["", "{}", json.dumps({"cluster": {"worker": ["localhost:1234"]}})])
def test_a_cluster_of_one_is_none(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    assert make_strategy() is tf.distribute.get_strategy()


def test_a_slurm_job_of_one_task_is_none(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert make_strategy() is tf.distribute.get_strategy()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"replicas": 0}, "replicas=0: expected 1 or more"),
        ({"workers": ["node1"], "worker_index": 0}, "worker 'node1': expected host:port"),
        ({"workers": ["node1:x"], "worker_index": 0}, "worker 'node1:x': expected host:port"),
        ({"workers": ["node1:70000"], "worker_index": 0}, "worker 'node1:70000': expected host:port"),
        ({"workers": ["a:1", "a:1"], "worker_index": 0}, "one is named twice"),
        ({"workers": ["a:1", "b:1"], "worker_index": 2}, r"worker_index=2: expected a number in 0\.\.1"),
        ({"workers": ["a:1", "b:1"], "worker_index": -1}, "worker_index=-1"),
        ({"workers": ["a.example:1", "b.example:1"]}, "none of the workers a.example:1, b.example:1 is this machine"),
        ({"workers": ["a:1", "b:1"], "worker_index": 0, "replicas": 2}, "replicas=2 is for one machine"),
    ],
)
def test_what_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_strategy(**arguments)


def test_two_workers_of_this_machine_must_say_which_they_are():
    name = socket.gethostname()
    with pytest.raises(ValueError, match=f"2 of the workers .* is this machine, {name}; .*worker_index"):
        make_strategy(workers=[f"{name}:1", f"{name}:2"])


def test_broken_tf_config(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "worker=a:1")
    with pytest.raises(ValueError, match="TF_CONFIG is not a JSON object: 'worker=a:1'"):
        make_strategy()
