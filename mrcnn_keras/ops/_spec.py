"""What is asked of the operation: its attributes, checked."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spec:
    """The attributes of the operation, as in `multilevel_roi_align`; method: "align", "warp" or "pool"."""

    scales: tuple[float, ...]
    output_size: tuple[int, int]
    sampling_ratio: int
    aligned: bool
    reduce: str
    method: str


def make_spec(
    method: str,
    scales: Sequence[float],
    output_size: int | tuple[int, int],
    sampling_ratio: int = 0,
    aligned: bool = False,
    reduce: str = "max",
) -> Spec:
    """The attributes of a call; what is left out is what RoIPool, which samples nothing, has.

    Raises:
        ValueError: a value does not fit; the message names it.
    """
    size = (output_size, output_size) if isinstance(output_size, int) else tuple(int(s) for s in output_size)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"output_size must be an integer >= 1 or a pair of them, got {output_size!r}")
    if not 0 <= int(sampling_ratio) <= 1024:
        raise ValueError(f"sampling_ratio must be 0 (adaptive) to 1024, got {sampling_ratio!r}")
    if reduce not in ("average", "max"):
        raise ValueError(f'reduce must be "average" or "max", got {reduce!r}')
    scales = tuple(float(s) for s in scales)
    if not all(0 < s < float("inf") for s in scales):
        raise ValueError(f"scales must be positive numbers, got {scales}")
    return Spec(scales, size, int(sampling_ratio), bool(aligned), reduce, method)
