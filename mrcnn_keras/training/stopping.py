"""How a training is asked to end: SIGTERM, which job schedulers send before they kill."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from .replicas import any_worker, spans_workers


class Terminator:
    """Turns SIGTERM into an orderly end: at once, or when what must not be cut short is done.

    Attributes:
        busy: what goes on must not be cut short.
        requested: the signal has come.
    """

    def __init__(self):
        self.busy = self.requested = False
        self._waits = False

    @contextlib.contextmanager
    def listening(self, strategy: tf.distribute.Strategy) -> Iterator[None]:
        """While inside, the signal is heeded; where the strategy has several workers they end after the same step."""
        in_main = threading.current_thread() is threading.main_thread()
        self.busy = self.requested = False
        self._waits = spans_workers(strategy)
        previous = signal.signal(signal.SIGTERM, self._on_signal) if in_main else None
        try:
            yield
            if self.requested:  # too late to be heeded by a step
                self._end()
        finally:
            if in_main:
                signal.signal(signal.SIGTERM, previous)

    @contextlib.contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """While inside, the signal waits for the end of the next step."""
        before, self.busy = self.busy, True
        try:
            yield
        finally:
            self.busy = before

    def after_step(self, strategy: tf.distribute.Strategy) -> None:
        """Ends the process with status 143 if it, or another worker, was asked to end."""
        self.busy = False
        if any_worker(strategy, self.requested):
            self._end()

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.requested and not self._waits:  # asked again
            self._end()
        self.requested = True
        if not self.busy and not self._waits:
            self._end()

    def _end(self) -> None:
        print("SIGTERM: the training ends here", file=sys.stderr)
        raise SystemExit(128 + signal.SIGTERM)
