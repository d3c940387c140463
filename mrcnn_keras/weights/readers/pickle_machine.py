"""A small pickle machine that runs no code.

Python's own unpickler imports what a file names and allocates what it declares. Here only names of a given table
resolve, every length is checked against what is left of the file, and a budget bounds the steps.
"""

import dataclasses
import pickle  # for the names of the operations only
import struct
from collections.abc import Callable, Mapping
from typing import Any

from .limits import Budget, CheckpointError, damaged, shown
from .pickle_operations import OPERATIONS
from .pickle_values import CONTAINERS, COUNTED, LINES, NUMBERS, VALUES

_MAX_ARGUMENTS = 16

Names = Mapping[str, Callable[..., Any] | None]


@dataclasses.dataclass(frozen=True, eq=False)
class Name:
    """A name of the table, as the pickle holds it; a function where the pickle may call it."""

    name: str
    function: Callable[..., Any] | None


class Built:
    """Base of objects that the pickle makes first and gives their state afterwards."""

    def build(self, state: Any) -> None:
        """Takes the state; any exception means that it is not one."""
        raise NotImplementedError


def read_pickle(
    data: Any, names: Names, budget: Budget, start: int = 0, persistent_load: Callable[[Any], Any] | None = None
) -> tuple[Any, int]:
    """Runs one pickle of protocol 0 to 5.

    Args:
        data: `bytes` or an `mmap`; bytes objects of 4096 bytes and more are returned as views of it.
        names: what the pickle may name, "module.name", with the function to call in its place (None: not to be
            called). Functions get the pickle's arguments, of any type, and may raise.
        budget: pays a step for each operation.
        start: where in `data` the pickle begins.
        persistent_load: turns a persistent id into an object; without it such ids are refused.

    Returns:
        The object, and where in `data` the pickle ends. Strings of Python 2 are bytes.

    Raises:
        CheckpointError: the pickle is damaged, or asks for something that is not in the table.
    """
    machine = _Machine(data, names, budget, start, persistent_load)
    try:
        return machine.run(), machine.at
    except CheckpointError:
        raise
    except (LookupError, ValueError, TypeError, ArithmeticError, AttributeError, struct.error):
        raise damaged(f"its pickle makes no sense at byte {machine.at}") from None


class _Machine:
    def __init__(self, data, names, budget, start, persistent_load):
        self.data, self.view, self.at = data, memoryview(data), start
        self.names, self.budget, self.persistent_load = names, budget, persistent_load
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each mark
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while (code := self.take(1)[0]) != pickle.STOP[0]:
            self.budget.step()
            if code in VALUES:
                self.stack.append(VALUES[code])
            elif code in CONTAINERS:
                self.stack.append(CONTAINERS[code]())
            elif code in NUMBERS:
                number = NUMBERS[code]
                self.stack.append(number.unpack(self.take(number.size))[0])
            elif code in COUNTED:
                size, convert = COUNTED[code]
                self.stack.append(convert(self.take(self.count(size))))
            elif code in LINES:
                self.stack.append(LINES[code](self.line()))
            elif code in OPERATIONS:
                OPERATIONS[code](self)
            else:
                raise damaged(f"byte {self.at - 1} of its pickle, {code:#04x}, is no operation that a checkpoint uses")
        return self.stack.pop()

    def take(self, count: int) -> memoryview:
        start, self.at = self.at, self.at + count
        if self.at > len(self.view):
            left = len(self.view) - start
            raise damaged(f"it ends too early, its pickle needs {count} more bytes at byte {start} and {left} are left")
        return self.view[start : self.at]

    def count(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise damaged(f"it ends too early, inside a line of its pickle that begins at byte {self.at}")
        line = self.take(end - self.at).tobytes()
        self.at += 1
        return line

    def marked(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def named_line(self) -> Name:
        return self.name(str(self.line(), "utf-8"), str(self.line(), "utf-8"))

    def name(self, module: Any, name: Any) -> Name:
        full = f"{module}.{name}" if type(module) is type(name) is str else shown(name)
        if full not in self.names:
            text = full[:80] if full[:80].isprintable() else shown(full)
            raise CheckpointError(f"asks for {text}, which a checkpoint has no business with; it was not run")
        return Name(full, self.names[full])

    def call(self, name: Any, arguments: Any) -> Any:
        if not isinstance(name, Name) or name.function is None:
            called = name.name if isinstance(name, Name) else shown(name)
            raise CheckpointError(f"calls {called}, which a checkpoint has no business with; it was not run")
        if type(arguments) is not tuple or len(arguments) > _MAX_ARGUMENTS:
            raise damaged(f"it gives {name.name} the wrong arguments")
        return name.function(*arguments)

    def build(self, target: Any, state: Any) -> None:
        if isinstance(target, Built):
            target.build(state)
        elif not isinstance(target, dict):  # a state dict's `_metadata` says nothing about its arrays
            raise CheckpointError(f"sets attributes of {shown(target)}, which a checkpoint has no business with")

    def load_persistent(self, identity: Any) -> Any:
        if self.persistent_load is None:
            raise CheckpointError("refers to data outside its pickle; it is not a whole checkpoint")
        return self.persistent_load(identity)
