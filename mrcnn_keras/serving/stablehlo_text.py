"""StableHLO as MLIR's text: what its arguments are, how many operations it has, and that all its shapes are fixed."""

import collections
import re

_DTYPES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "i32": "int32", "ui8": "uint8", "i1": "bool"}
_TENSOR = re.compile(r"tensor<((?:\d+x)*)(\w+)>")
_MAIN = re.compile(r"func\.func (?:public )?@main\((.*?)\) -> (.*) \{$", re.MULTILINE)
_OPERATION = re.compile(r"\bstablehlo\.(\w+)")
_CALL_TARGET = re.compile(r'(?:custom_call @|call_target_name = )"?([\w.$]+)')
_CONSTANT = re.compile(r"\s*(%\w+) = stablehlo\.constant dense<(\d+)> : tensor<i32>$")
_SET_SIZE = re.compile(
    r"(\s*%\w+ = )stablehlo\.set_dimension_size (%[\w#]+), (%\w+), dim = (\d+) "
    r": \((tensor<[^>]*>), tensor<i32>\) -> (tensor<[^>]*>)$"
)
_VARYING = re.compile(r"tensor<[^>]*(?:\?|bounds)[^>]*>|stablehlo\.set_dimension_size")
_NO_OPERATIONS = ("constant", "return")


def fixed_sizes(text: str) -> str:
    """A module without the statements that give a side the length which it has already.

    TensorFlow writes them after sorting and slicing; some runtimes do not take them even so.

    Raises:
        RuntimeError: a size depends on values.
    """
    lengths: dict[str, int] = {}
    lines = [_without_set_size(line, lengths) for line in text.splitlines()]
    left = next(filter(_VARYING.search, lines), None)
    if left is not None:
        raise RuntimeError(f"the network has a size that depends on values, which XLA does not take: {left.strip()}")
    return "\n".join(lines) + "\n"


def _without_set_size(line: str, lengths: dict[str, int]) -> str:
    if constant := _CONSTANT.match(line):
        lengths[constant[1]] = int(constant[2])
    found = _SET_SIZE.match(line)
    if not found:
        return line
    start, operand, length, side, before, after = found.groups()
    shape, _ = _shape_and_dtype(before)
    if before != after or lengths.get(length) != shape[int(side)]:
        return line
    return f"{start}stablehlo.reshape {operand} : ({before}) -> {after}"


def signature(text: str) -> tuple[list[tuple], list[tuple]]:
    """(shape, dtype) of each argument and of each result of a module's `main`."""
    arguments, results = _MAIN.search(text).groups()
    return tuple([_shape_and_dtype(found[0]) for found in _TENSOR.finditer(part)] for part in (arguments, results))


def _shape_and_dtype(tensor: str) -> tuple[tuple[int, ...], str]:
    sides, dtype = _TENSOR.fullmatch(tensor).groups()
    return tuple(int(side) for side in sides.split("x")[:-1]), _DTYPES.get(dtype, dtype)


def count_operations(text: str) -> dict[str, int]:
    """How many operations of each kind a module has, the most frequent first; constants are none."""
    found = collections.Counter(_OPERATION.findall(text))
    return {name: count for name, count in found.most_common() if name not in _NO_OPERATIONS}


def call_targets(text: str) -> list[str]:
    """Names of the functions outside of StableHLO that a module calls."""
    return sorted(set(_CALL_TARGET.findall(text)))
