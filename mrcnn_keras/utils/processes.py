"""Functions that run in other processes, which do not run the caller's script."""

import contextlib
import json
import pickle
import queue
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# multiprocessing would run the caller's script anew in every process, or fork it with TensorFlow's threads inside.
_CODE = f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {__name__} import serve; serve()"


def map_in_processes(function: Callable[[Any], Any], items: Iterable[Any], jobs: int) -> Iterator[Any]:
    """Apply a function to items in other processes; like `map`, the results come in the order of the items.

    Args:
        function: a function of a module, not of the script that runs; its argument and result can be pickled.
        items: its arguments.
        jobs: number of processes, >= 1.

    Raises:
        OSError: a process ended before it answered.
        Exception: whatever the function raises.
    """
    idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()

    def call(item: Any) -> Any:
        child = idle.get()
        try:
            return child(item)
        finally:
            idle.put(child)

    with contextlib.ExitStack() as stack:
        for _ in range(jobs):
            idle.put(stack.enter_context(_Child(function)))
        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        yield from pool.map(call, items)


def serve() -> None:
    """Read a function and its arguments from standard input and write its results, in the other process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller ends this process
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    function = pickle.load(source)
    with contextlib.suppress(EOFError):
        while True:
            item = pickle.load(source)
            try:
                answer = function(item), None
            except Exception as error:
                answer = None, error
            pickle.dump(answer, sink)
            sink.flush()


class _Child:
    def __init__(self, function: Callable[[Any], Any]):
        words = [sys.executable, "-W", "ignore", "-c", _CODE, json.dumps(sys.path)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._send(function)

    def __call__(self, item: Any) -> Any:
        self._send(item)
        try:
            result, error = pickle.load(self._process.stdout)
        except EOFError:
            raise OSError(f"a worker process ended with status {self._process.wait()}; try fewer jobs") from None
        if error is not None:
            raise error
        return result

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *_) -> None:
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _send(self, value: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # reading the answer tells why
            pickle.dump(value, self._process.stdin)
            self._process.stdin.flush()
