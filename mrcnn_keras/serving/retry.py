"""Asking again when a server could not be reached."""

import dataclasses
import random
import time
from collections.abc import Callable
from typing import TypeVar

from mrcnn_keras.serving.errors import ServerUnavailableError, Unreached

Answer = TypeVar("Answer")


@dataclasses.dataclass(frozen=True)
class Patience:
    """How often and after which pauses to ask again.

    Attributes:
        retries: attempts after the first, 0 or more.
        backoff: seconds before the second attempt, 0 or more; before each further one, twice as many. Up to half of a
            pause is left out at random, so that many clients do not come back at once.

    Raises:
        ValueError: a value out of its range.
    """

    retries: int
    backoff: float

    def __post_init__(self):
        if self.retries < 0 or self.backoff < 0:
            raise ValueError(f"retries={self.retries}, backoff={self.backoff}: expected 0 or more")

    def call(self, attempt: Callable[[], Answer], address: str) -> Answer:
        """What `attempt` returns, once it no longer raises `Unreached`.

        Raises:
            ServerUnavailableError: every attempt did.
        """
        start = time.monotonic()
        for number in range(self.retries + 1):
            if number:
                time.sleep(self.backoff * 2 ** (number - 1) * random.uniform(0.5, 1))
            try:
                return attempt()
            except Unreached as error:
                last = error
        times = f"{self.retries + 1} attempts in {time.monotonic() - start:.1f} s" if self.retries else "one attempt"
        raise ServerUnavailableError(f"no answer from the server at {address} after {times}: {last}") from last
