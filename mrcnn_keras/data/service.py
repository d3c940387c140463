"""Input hosts: machines that make batches for the ones that train, through tf.data.service.

Start one on each machine that shall help: for a dataset in the COCO format

    python -m mrcnn_keras.data.service --images DIR --annotations FILE --address 10.0.0.5:5050

and for any other a program that ends with `serve_batches(dataset, "10.0.0.5:5050").join()`. Then name them where the
model is trained: `model.fit(dataset, input_hosts=["10.0.0.5:5050", "10.0.0.6:5050"])`, or `training_batches(dataset,
hosts=[...], ...)`. A host knows its dataset only; sizes, seed and steps come with each request, so it serves any number
of trainings, also resumed ones. The hosts take turns, and each batch is the one that the training machine would have
made itself, in its order. A host that ends stops the training with an error, one that cannot be reached keeps it
waiting; both are mended by starting the host and resuming. What a host finds broken is in its own dataset's `report()`.
A host needs two ports, the one given and the next, on a network where everyone can be trusted.

tf.data.service alone cannot run this pipeline. It sends its workers a graph, and of a Python function the graph holds
only a key by which the process that made it finds the function; a worker elsewhere fails with "Could not find callback
with key=pyfunc_0". A host is therefore a Python process of ours that puts a function on its own dataset under a key
known to both sides. It is dispatcher and only worker of a service of its own, which keeps the batches in order.
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.recipe import BatchRecipe
from mrcnn_keras.data.tfdata import GATE, finished, named_arrays

_KEY = "mrcnn_keras_batches"


class InputHost:
    """Makes this process an input host for as long as the object exists; one a process.

    Args:
        dataset: what is trained on; each host and the training machine have the same.
        address: "name:port" by which the others reach this machine; the next port is used, too. Port 0: any free ones.

    Attributes:
        address: the same with the port in use.

    Raises:
        ValueError: not such an address, or the process is a host already.
    """

    def __init__(self, dataset: Dataset, address: str = "localhost:0"):
        import tensorflow as tf

        name, port = checked_address(address)
        service = tf.data.experimental.service
        self._answer = _Answer(dataset)
        _register(self._answer)
        self._dispatcher = service.DispatchServer(service.DispatcherConfig(port=port))
        in_use = self._dispatcher.target.rsplit(":", 1)[1]
        self.address = f"{name}:{in_use}"
        self._worker = service.WorkerServer(
            service.WorkerConfig(f"localhost:{in_use}", worker_address=f"{name}:%port%", port=port and port + 1)
        )

    def join(self) -> None:
        """Serves until the process is interrupted."""
        threading.Event().wait()


def serve_batches(dataset: Dataset, address: str = "localhost:0") -> InputHost:
    """Start an `InputHost`; arguments and errors are its own."""
    return InputHost(dataset, address)


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

    parts = {"num_shards": shards[0], "shards": list(shards[1])}
    request = json.dumps({"count": len(dataset), "recipe": dataclasses.asdict(recipe), **parts})

    def to_batch(number):
        dtypes = [tf.as_dtype(dtype) for dtype, _ in fields.values()]
        return named_arrays(tf.raw_ops.PyFunc(input=[request, number], token=_KEY, Tout=dtypes), fields)

    def of_host(place: int, host: str) -> tf.data.Dataset:
        own = tf.data.Dataset.range(numbers[0] + place, numbers[1], len(hosts))
        made = finished(own.map(to_batch, num_parallel_calls=workers, deterministic=True), workers, prefetch)
        policy = tf.data.experimental.service.ShardingPolicy.OFF
        service = "grpc://{}:{}".format(*checked_address(host))
        return made.apply(tf.data.experimental.service.distribute(policy, service, compression=None))

    by_host = [of_host(place, host) for place, host in enumerate(hosts)]
    turns = tf.data.Dataset.range(len(hosts)).repeat()
    return finished(tf.data.Dataset.choose_from_datasets(by_host, turns), workers, prefetch, fields, may_be_empty)


def checked_address(address: str) -> tuple[str, int]:
    """Name and port of an input host; ValueError where they are not given as "name:port"."""
    name, _, port = address.rpartition(":")
    if not name or not port.isdigit() or int(port) > 65534:
        raise ValueError(f"input host {address!r}: expected its address as name:port, such as 10.0.0.5:5050")
    return name, int(port)


class _Answer:
    """What a host does on request; called from several threads."""

    def __init__(self, dataset: Dataset):
        self._dataset = dataset
        self._read = functools.lru_cache(maxsize=8)(self._read_request)

    def __call__(self, request: bytes, number: np.int64) -> tuple[np.ndarray, ...]:
        return GATE.call(self._read(request), int(number))

    def _read_request(self, request: bytes) -> Callable[[int], tuple[np.ndarray, ...]]:
        count, recipe, num_shards, shards = json.loads(request).values()
        if count != len(self._dataset):
            raise ValueError(f"the input host has {len(self._dataset)} images, the training {count}; start it anew")
        return functools.partial(BatchRecipe(**recipe).maker(self._dataset).part, num_shards, tuple(shards))


def _register(answer: _Answer) -> None:
    # The table in which TensorFlow looks for the Python functions of a graph; it holds them weakly.
    from tensorflow.python.ops import script_ops

    table = script_ops._py_funcs._funcs
    if _KEY in table:
        raise ValueError("this process is an input host already; start another process for another one")
    table[_KEY] = answer


def main() -> None:
    """The command line of a host for a dataset in the COCO format."""
    from mrcnn_keras.data.coco import CocoDataset

    parser = argparse.ArgumentParser(description="Makes training batches for other machines.")
    parser.add_argument("--images", required=True, help="folder of images")
    parser.add_argument("--annotations", required=True, help="JSON file in the COCO format")
    parser.add_argument("--address", default="localhost:5050", help="name:port by which the others reach this machine")
    parser.add_argument("--skip-broken", action="store_true", help="go on where an image is broken")
    args = parser.parse_args()
    dataset = CocoDataset(args.images, args.annotations, skip_broken=args.skip_broken)
    host = serve_batches(dataset, args.address)
    print(f"batches of {len(dataset)} images at {host.address}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        host.join()


if __name__ == "__main__":
    main()
