"""Input hosts: machines that make batches for the ones that train, through tf.data.service.

Start one on each machine that shall help: for a dataset in the COCO format

    python -m mrcnn_keras.data.service --images DIR --annotations FILE --address 10.0.0.5:5050

and for any other a program that ends with `serve_batches(dataset, "10.0.0.5:5050").join()`. Then name them where the
model is trained: `model.fit(dataset, input_hosts=["10.0.0.5:5050", "10.0.0.6:5050"])`, or `training_batches(dataset,
hosts=[...], ...)`. A host knows its dataset only; sizes, seed and steps come with each request, so it serves any number
of trainings, also resumed ones. The hosts take turns, and each batch is the one that the training machine would have
made itself, in its order. Start the hosts first: one that ends, or cannot be reached for a minute, stops the training
with an error that names it, and is mended by starting the host and resuming. What a host finds broken is in its own
dataset's `report()`.
A host needs two ports, the one given and the next, on a network where everyone can be trusted.

tf.data.service alone cannot run this pipeline. It sends its workers a graph, and of a Python function the graph holds
only a key by which the process that made it finds the function; a worker elsewhere fails with "Could not find callback
with key=pyfunc_0". A host is therefore a Python process of ours that puts a function on its own dataset under a key
known to both sides. It is dispatcher and only worker of a service of its own, which keeps the batches in order.
"""

import argparse
import contextlib
import functools
import json
import threading
from collections.abc import Callable

import numpy as np

from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.hosted import KEY, checked_address
from mrcnn_keras.data.recipe import BatchRecipe
from mrcnn_keras.data.tfdata import GATE


class InputHost:
    """Makes this process an input host for as long as the object exists; one a process.

    Args:
        dataset: what is trained on; each host and the training machine have the same.
        address: "name:port" by which the others reach this machine; the next port is used, too. Port 0: any free ones.

    Attributes:
        address: the same with the port in use.

    Raises:
        ValueError: not such an address, its port or the next is in use, or the process is a host already.
    """

    def __init__(self, dataset: Dataset, address: str = "localhost:0"):
        import tensorflow as tf

        name, port = checked_address(address)
        service = tf.data.experimental.service
        answer = _Answer(dataset)
        table = _functions()
        if KEY in table:
            raise ValueError("this process is an input host already; start another process for another one")
        try:
            self._dispatcher = service.DispatchServer(service.DispatcherConfig(port=port))
            in_use = self._dispatcher.target.rsplit(":", 1)[1]
            self.address = f"{name}:{in_use}"
            self._worker = service.WorkerServer(
                service.WorkerConfig(f"localhost:{in_use}", worker_address=f"{name}:%port%", port=port and port + 1)
            )
        except (RuntimeError, tf.errors.OpError) as error:
            raise ValueError(f"input host {address!r} cannot use port {port} or {port + 1}: {error}") from None
        self._answer = table[KEY] = answer

    def join(self) -> None:
        """Serves until the process is interrupted."""
        threading.Event().wait()


def serve_batches(dataset: Dataset, address: str = "localhost:0") -> InputHost:
    """Start an `InputHost`; arguments and errors are its own."""
    return InputHost(dataset, address)


class _Answer:
    """What a host does on request; called from several threads."""

    def __init__(self, dataset: Dataset):
        self._dataset = dataset
        self._read = functools.lru_cache(maxsize=8)(self._read_request)

    def __call__(self, request: bytes, number: np.int64) -> tuple[np.ndarray, ...]:
        return GATE.call(self._read(request), int(number))

    def _read_request(self, request: bytes) -> Callable[[int], tuple[np.ndarray, ...]]:
        count, recipe, num_shards, shards, _ = json.loads(request).values()
        if count != len(self._dataset):
            raise ValueError(f"the input host has {len(self._dataset)} images, the training {count}; start it anew")
        return functools.partial(BatchRecipe(**recipe).maker(self._dataset).part, num_shards, tuple(shards))


def _functions():
    """The table in which TensorFlow looks for the Python functions of a graph; it holds them weakly."""
    from tensorflow.python.ops import script_ops

    return script_ops._py_funcs._funcs


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
