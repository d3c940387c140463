"""What the processor reaches in big convolutions, and in a product of big matrices."""

from collections.abc import Callable
from typing import Any

import numpy as np

# height, width, channels in and out, side of the kernel: those of the network that have the most work in each pixel.
SHAPES = (
    (200, 336, 256, 256, 3),
    (100, 168, 128, 128, 3),
    (50, 84, 256, 256, 3),
    (200, 336, 256, 256, 1),
    (50, 84, 1024, 256, 1),
    (50, 84, 256, 1024, 1),
)
MATRIX = 2048
PRODUCT = f"matrix product {MATRIX}"


def cases(make: Callable[[int, int, int, int, int], Callable[[], Any]]) -> dict[str, Callable[[], Any]]:
    """The cases of a contestant whose convolution of a shape `make` returns; stride 1, float32."""
    matrix = np.random.default_rng(0).standard_normal((MATRIX, MATRIX), np.float32)
    return {**{_name(shape): make(*shape) for shape in SHAPES}, PRODUCT: lambda: matrix @ matrix}


def flops(case: str) -> int:
    """Operations of a case, an addition and a multiplication counted as two."""
    return _FLOPS[case]


def _name(shape: tuple[int, ...]) -> str:
    height, width, inputs, outputs, kernel = shape
    return f"{kernel}x{kernel} {inputs} to {outputs} on {height}x{width}"


_FLOPS = {_name(shape): 2 * int(np.prod(shape)) * shape[-1] for shape in SHAPES} | {PRODUCT: 2 * MATRIX**3}
