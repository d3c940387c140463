"""The operations of a pickle that move values about: containers, marks, the memo, names and calls."""

import pickle  # for the names of the operations only
from collections.abc import Callable
from typing import Any

from .limits import CheckpointError
from .pickle_values import checked_key, line_integer

# Operation: bytes of the index that follows, 0 for a line of digits.
_MEMO_INDEX = {
    pickle.PUT[0]: 0,
    pickle.GET[0]: 0,
    pickle.BINPUT[0]: 1,
    pickle.BINGET[0]: 1,
    pickle.LONG_BINPUT[0]: 4,
    pickle.LONG_BINGET[0]: 4,
}

# Each is called with the machine, behind its own byte.
OPERATIONS: dict[int, Callable[[Any], None]] = {}


def _operation(*codes: bytes):
    def register(function):
        OPERATIONS.update({code[0]: function for code in codes})
        return function

    return register


@_operation(pickle.PROTO)
def _protocol(machine):
    if machine.count(1) > 5:
        raise CheckpointError("is a pickle of a protocol newer than 5; save it again with protocol 4")


@_operation(pickle.FRAME)
def _frame(machine):
    length, start = machine.count(8), machine.at
    machine.take(length)
    machine.at = start


@_operation(pickle.MARK)
def _mark(machine):
    machine.below.append(machine.stack)
    machine.stack = []


@_operation(pickle.POP)
def _pop(machine):
    if machine.stack:
        machine.stack.pop()
    else:
        machine.marked()


@_operation(pickle.POP_MARK)
def _pop_mark(machine):
    machine.marked()


@_operation(pickle.DUP)
def _duplicate(machine):
    machine.stack.append(machine.stack[-1])


@_operation(pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)
def _short_tuple(machine):
    length = machine.data[machine.at - 1] - pickle.TUPLE1[0] + 1
    items = tuple(machine.stack[-length:])
    if len(items) < length:
        raise IndexError
    machine.stack[-length:] = [items]


@_operation(pickle.TUPLE)
def _tuple(machine):
    items = machine.marked()
    machine.stack.append(tuple(items))


@_operation(pickle.LIST)
def _list(machine):
    items = machine.marked()
    machine.stack.append(items)


@_operation(pickle.FROZENSET)
def _frozen_set(machine):
    items = machine.marked()
    machine.stack.append(frozenset(checked_key(item) for item in items))


@_operation(pickle.DICT)
def _dict(machine):
    items = machine.marked()
    machine.stack.append({})
    _set_pairs(machine, items)


@_operation(pickle.APPEND)
def _append(machine):
    item = machine.stack.pop()
    _top(machine, list).append(item)


@_operation(pickle.APPENDS)
def _extend(machine):
    items = machine.marked()
    _top(machine, list).extend(items)


@_operation(pickle.ADDITEMS)
def _add(machine):
    items = machine.marked()
    _top(machine, set).update(checked_key(item) for item in items)


@_operation(pickle.SETITEM)
def _set_item(machine):
    pair = [machine.stack.pop(-2), machine.stack.pop()]
    _set_pairs(machine, pair)


@_operation(pickle.SETITEMS)
def _set_items(machine):
    items = machine.marked()
    _set_pairs(machine, items)


def _set_pairs(machine, items):
    target = _top(machine, dict)
    for place in range(0, len(items), 2):
        target[checked_key(items[place])] = items[place + 1]


def _top(machine, kind):
    if type(machine.stack[-1]) is not kind:
        raise TypeError
    return machine.stack[-1]


@_operation(pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT)
def _put(machine):
    machine.memo[_memo_index(machine)] = machine.stack[-1]


def _memo_index(machine):
    size = _MEMO_INDEX[machine.data[machine.at - 1]]
    index = machine.count(size) if size else line_integer(machine.line())
    if index >= 1 << 32:
        raise ValueError
    return index


@_operation(pickle.MEMOIZE)
def _memoize(machine):
    machine.memo[len(machine.memo)] = machine.stack[-1]


@_operation(pickle.GET, pickle.BINGET, pickle.LONG_BINGET)
def _get(machine):
    machine.stack.append(machine.memo[_memo_index(machine)])


@_operation(pickle.GLOBAL)
def _global(machine):
    machine.stack.append(machine.named_line())


@_operation(pickle.STACK_GLOBAL)
def _stack_global(machine):
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(machine.name(module, name))


@_operation(pickle.INST)
def _instance(machine):
    name, arguments = machine.named_line(), machine.marked()
    machine.stack.append(machine.call(name, tuple(arguments)))


@_operation(pickle.OBJ)
def _object(machine):
    name, *arguments = machine.marked()
    machine.stack.append(machine.call(name, tuple(arguments)))


@_operation(pickle.REDUCE, pickle.NEWOBJ)
def _reduce(machine):
    arguments = machine.stack.pop()
    machine.stack[-1] = machine.call(machine.stack[-1], arguments)


@_operation(pickle.NEWOBJ_EX)
def _reduce_with_keywords(machine):
    if machine.stack.pop() != {}:
        raise ValueError
    _reduce(machine)


@_operation(pickle.BUILD)
def _build(machine):
    state = machine.stack.pop()
    machine.build(machine.stack[-1], state)


@_operation(pickle.PERSID)
def _persistent_line(machine):
    machine.stack.append(machine.load_persistent(str(machine.line(), "ascii")))


@_operation(pickle.BINPERSID)
def _persistent(machine):
    machine.stack[-1] = machine.load_persistent(machine.stack[-1])
