"""What reading a checkpoint file may cost, and the error for files that ask for more or make no sense."""

from typing import Any

# One step of a pickle makes at most a quarter of a kilobyte, so steps bound the memory as well as the time.
_MAX_STEPS = 5_000_000
_FREE_STEPS = 150_000
_BYTES_A_STEP = 8
# All arrays of a file together may be this many times its size: compressed or shared data, not a bomb.
_MAX_EXPANSION = 16
_FREE_BYTES = 16 << 20


class CheckpointError(ValueError):
    """A file that is no checkpoint, is damaged, or asks for what a checkpoint has no business with."""


def damaged(what: str) -> CheckpointError:
    """The error for a file that was cut off or changed on its way."""
    return CheckpointError(f"is damaged: {what}; download it again")


def shown(value: Any) -> str:
    """A value in an error message: short whatever it is, and never what a container holds."""
    if isinstance(value, (str, bytes)):
        return repr(value[:80]) + ("..." if len(value) > 80 else "")
    if value is None or isinstance(value, (bool, int, float)):
        return f"{value!r:.40}"
    return f"a value of type {type(value).__name__}"


def check_total(total: int, size: int) -> None:
    """CheckpointError if a file of `size` bytes declares arrays of `total` bytes that cannot be in it."""
    if total > max(_MAX_EXPANSION * size, _FREE_BYTES):
        raise CheckpointError(f"declares {total} bytes of arrays, but the file has only {size}; it was not read")


class Budget:
    """Steps and bytes that reading a file may still take; CheckpointError once they are used up.

    Args:
        size: the file's size in bytes, >= 0.
    """

    def __init__(self, size: int):
        self.size = size
        self._steps = min(_MAX_STEPS, _FREE_STEPS + size // _BYTES_A_STEP)
        self._bytes = (1 << 20) + 4 * size

    def step(self, count: int = 1) -> None:
        """Counts steps of a pickle, or entries copied from one container into another."""
        self._steps -= count
        if self._steps < 0:
            raise CheckpointError("takes more steps to read than a checkpoint of its size needs; it was given up")

    def allocate(self, count: int) -> None:
        """Counts bytes that are about to be copied, converted or decompressed."""
        self._bytes -= count
        if self._bytes < 0:
            raise CheckpointError("expands to many times its own size, as no checkpoint does; it was not read")
