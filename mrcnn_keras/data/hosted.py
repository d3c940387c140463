"""Batches that input hosts make, as the training machine takes them; `data.service` is the hosts' side."""

import dataclasses
import functools
import json
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.recipe import BatchRecipe
from mrcnn_keras.data.tfdata import GATE, finished, named_arrays

# The name by which a host knows what makes its batches.
KEY = "mrcnn_keras_batches"
# After so many seconds without a batch a host is asked whether it is there; the first one may take longer to start.
_PATIENCE, _FIRST_PATIENCE = 10.0, 60.0


def hosted_batches(
    hosts: Sequence[str],
    dataset: Dataset,
    recipe: BatchRecipe,
    shards: tuple[int, Sequence[int]],
    fields: Mapping[str, tuple[str, list[int | None]]],
    numbers: tuple[int, int],
    workers: int,
    prefetch: int,
    may_be_empty: bool = False,
):
    """A tf.data.Dataset like that of `tfdata.parallel_batches`, made by input hosts.

    Args:
        hosts: their addresses, at least one.
        dataset: the same as theirs.
        recipe: what is in the batches.
        shards: how many parts each batch is cut into, and those wanted.
        fields, prefetch, may_be_empty: as there.
        numbers: first part and the one after the last.
        workers: parts made at the same time on each host, >= 1.
    """
    import tensorflow as tf

    services = ["grpc://{}:{}".format(*checked_address(host)) for host in hosts]
    parts = {"num_shards": shards[0], "shards": list(shards[1])}
    written = os.stat(recipe.proposals).st_mtime_ns if recipe.proposals else None  # a new file is read anew
    request = json.dumps({"count": len(dataset), "recipe": dataclasses.asdict(recipe), **parts, "written": written})
    dtypes = [tf.as_dtype(dtype) for dtype, _ in fields.values()]

    def to_batch(number):
        return named_arrays(tf.raw_ops.PyFunc(input=[request, number], token=KEY, Tout=dtypes), fields)

    def of_host(place: int) -> tf.data.Dataset:
        own = tf.data.Dataset.range(numbers[0] + place, numbers[1], len(hosts))
        made = finished(own.map(to_batch, num_parallel_calls=workers, deterministic=True), workers, prefetch)
        policy = tf.data.experimental.service.ShardingPolicy.OFF
        return made.apply(tf.data.experimental.service.distribute(policy, services[place], compression=None))

    def in_turns() -> Iterator[tuple[np.ndarray, ...]]:
        connections = [functools.partial(of_host, place) for place in range(len(hosts))]
        streams = [_Stream(connect, host, max(1, prefetch)) for connect, host in zip(connections, hosts)]
        try:
            for number in range(numbers[1] - numbers[0]):
                yield GATE.call(streams[number % len(hosts)].take)
        finally:
            for stream in streams:
                stream.close()

    specs = tuple(tf.TensorSpec(shape, dtype) for dtype, (_, shape) in zip(dtypes, fields.values(), strict=True))
    batches = tf.data.Dataset.from_generator(in_turns, output_signature=specs)
    named = batches.map(lambda *arrays: named_arrays(arrays, fields))
    return finished(named, workers, prefetch, fields, may_be_empty)


def checked_address(address: str) -> tuple[str, int]:
    """Name and port of an input host; ValueError where they are not given as "name:port"."""
    name, _, port = address.rpartition(":")
    if not name or not port.isdigit() or int(port) > 65534:
        raise ValueError(f"input host {address!r}: expected its address as name:port, such as 10.0.0.5:5050")
    return name, int(port)


class _Stream:
    """What one host makes, in order.

    TensorFlow's own client waits for a host that is gone, for an hour and deaf to signals; here a thread of Python's
    waits for it, and the one that needs the batch looks after the host.

    Args:
        connect: makes the host's tf.data.Dataset.
        host: its address.
        kept: batches kept ready.
    """

    def __init__(self, connect: Callable[[], Any], host: str, kept: int):
        self._host, self._closed = host, threading.Event()
        self._ready: queue.Queue = queue.Queue(kept)
        self._patience = _FIRST_PATIENCE
        threading.Thread(target=self._read, args=(connect,), daemon=True).start()

    def take(self) -> tuple[np.ndarray, ...]:
        """The next batch's arrays.

        Raises:
            ValueError: the host is not there.
        """
        while True:
            try:
                found = self._ready.get(timeout=self._patience)
            except queue.Empty:
                self._check()
                continue
            self._patience = _PATIENCE
            if isinstance(found, Exception):
                raise found
            return found

    def close(self) -> None:
        """Ends the thread, unless it waits for a host that is gone."""
        self._closed.set()

    def _read(self, connect: Callable[[], Any]) -> None:
        try:
            for batch in connect().as_numpy_iterator():
                if not self._put(tuple(batch.values())):
                    return
        except Exception as error:
            self._put(error)

    def _put(self, found) -> bool:
        while not self._closed.is_set():
            try:
                self._ready.put(found, timeout=0.5)
                return True
            except queue.Full:
                continue
        return False

    def _check(self) -> None:
        try:
            socket.create_connection(checked_address(self._host), timeout=_PATIENCE).close()
        except OSError as error:
            raise ValueError(
                f"input host {self._host} does not answer ({error}); start it again, and then this training, or "
                "leave it out of the input hosts"
            ) from None
