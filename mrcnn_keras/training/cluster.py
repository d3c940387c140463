"""The devices and machines that a training runs on."""

import json
import os
import socket
from collections.abc import Sequence

import tensorflow as tf

_SLURM_PORT = 8888  # and the ones after it, for several tasks of one machine


def make_strategy(
    replicas: int | None = None, workers: Sequence[str] | None = None, worker_index: int | None = None
) -> tf.distribute.Strategy:
    """The strategy to build and train a model under: `with make_strategy(8).scope(): model = ...`.

    Call it before anything else that uses TensorFlow. The machines are those of `workers`, else of the environment
    variable TF_CONFIG, else of the Slurm job that this process is a task of, else this one alone. Every machine runs
    the same program and uses all its GPUs, or its CPU where it has none.

    Args:
        replicas: devices of this machine alone, >= 1; CPUs stand in for GPUs where there are none. None: all GPUs.
        workers: "host:port" of each process of a training on several machines, the chief's first.
        worker_index: which of `workers` this process is, from 0; None: found by this machine's name.

    Raises:
        ValueError: fewer GPUs than `replicas`, both `replicas` and several machines, or workers that cannot be.
    """
    resolver = _resolver(workers, worker_index)
    if resolver is not None:
        if replicas is not None:
            raise ValueError(
                f"replicas={replicas} is for one machine; with several, each uses all its GPUs (CUDA_VISIBLE_DEVICES "
                "chooses among them)"
            )
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    devices = _local_devices(replicas)
    return tf.distribute.MirroredStrategy(devices) if len(devices) > 1 else tf.distribute.get_strategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files and reports, of those that train together."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.cluster_spec().jobs:
        return True
    if "chief" in resolver.cluster_spec().jobs:
        return resolver.task_type == "chief"
    return resolver.task_id in (0, None)


def _resolver(
    workers: Sequence[str] | None, index: int | None
) -> tf.distribute.cluster_resolver.ClusterResolver | None:
    resolvers = tf.distribute.cluster_resolver
    if workers is not None:
        spec = tf.train.ClusterSpec({"worker": _checked_workers(workers)})
        task = _own_index(workers) if index is None else index
        if not 0 <= task < len(workers):
            raise ValueError(f"worker_index={index}: expected a number in 0..{len(workers) - 1}")
        return resolvers.SimpleClusterResolver(spec, task_type="worker", task_id=task, rpc_layer="grpc")
    if _in_tf_config():
        return resolvers.TFConfigClusterResolver()
    if int(os.environ.get("SLURM_NTASKS", 1)) > 1 and "SLURM_PROCID" in os.environ:
        return resolvers.SlurmClusterResolver(port_base=_SLURM_PORT)
    return None


def _in_tf_config() -> bool:
    text = os.environ.get("TF_CONFIG", "")
    try:
        jobs = json.loads(text or "{}").get("cluster", {})
    except (ValueError, AttributeError):
        raise ValueError(f"the environment variable TF_CONFIG is not a JSON object: {text[:80]!r}") from None
    return sum(len(addresses) for addresses in jobs.values()) > 1


def _checked_workers(workers: Sequence[str]) -> list[str]:
    for address in workers:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"worker {address!r}: expected host:port, such as node1:12345")
    if len(set(workers)) < len(workers):
        raise ValueError(f"workers {', '.join(workers)}: one is named twice; those of one machine need different ports")
    return list(workers)


def _own_index(workers: Sequence[str]) -> int:
    name = socket.gethostname()
    own = [number for number, address in enumerate(workers)
           if address.rpartition(":")[0].partition(".")[0] == name.partition(".")[0]]  # fmt: skip
    if len(own) != 1:
        raise ValueError(
            f"{'none' if not own else len(own)} of the workers {', '.join(workers)} is this machine, {name}; "
            "say which one this process is with worker_index"
        )
    return own[0]


def _local_devices(replicas: int | None) -> list[str]:
    gpus = len(tf.config.list_physical_devices("GPU"))
    if replicas is None:
        return [f"GPU:{number}" for number in range(gpus)]
    if replicas < 1:
        raise ValueError(f"replicas={replicas}: expected 1 or more")
    if gpus:
        if replicas > gpus:
            raise ValueError(f"replicas={replicas}, but this machine has {gpus} GPUs")
        return [f"GPU:{number}" for number in range(replicas)]
    if replicas > 1:
        _split_cpu(replicas)
    return [f"CPU:{number}" for number in range(replicas)]


def _split_cpu(count: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError:
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise ValueError(
                f"replicas={count} on the CPU: TensorFlow is in use already; make the strategy before anything else"
            ) from None
