"""The operations of a pickle that spell out a value, and how each is read from the file's bytes."""

import codecs
import pickle  # for the names of the operations only
import struct
from typing import Any

from .limits import CheckpointError, damaged, shown

# Longer bytes stay views of the file.
_COPY_BELOW = 4096
_MAX_INTEGER_BYTES = 64
_MAX_INTEGER_DIGITS = 160
_MAX_KEY_PARTS = 16
_KEY_TYPES = (str, bytes, int, float, bool, type(None))


def checked_key(key: Any) -> Any:
    """The key if it may be hashed: a plain value or a short tuple of them.

    Hashing deep tuples can overflow C's stack, and large integers can be chosen to have all the same hash.
    """
    parts = key if type(key) is tuple and len(key) <= _MAX_KEY_PARTS else (key,)
    if not all(type(part) in _KEY_TYPES and (type(part) is not int or part.bit_length() <= 64) for part in parts):
        raise CheckpointError(f"has {shown(key)} as the key of a dictionary or in a set, which no checkpoint needs")
    return key


def _bytes(data: memoryview) -> bytes | memoryview:
    return data.tobytes() if len(data) < _COPY_BELOW else data


def _text(data: memoryview) -> str:
    return str(data, "utf-8", "surrogatepass")


def _long(data: memoryview) -> int:
    if len(data) > _MAX_INTEGER_BYTES:
        raise damaged(f"it has an integer of {len(data)} bytes")
    return int.from_bytes(data, "little", signed=True)


def line_integer(line: bytes) -> int | bool:
    """An integer, or a boolean "00" or "01", written in digits."""
    if line in (b"00", b"01"):
        return line == b"01"
    if len(line) > _MAX_INTEGER_DIGITS:
        raise damaged(f"it has an integer of {len(line)} digits")
    return int(line.removesuffix(b"L"))


def _line_string(line: bytes) -> bytes:
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise damaged("a string of its pickle has no quotes")
    return codecs.escape_decode(line[1:-1])[0]


VALUES = {pickle.NONE[0]: None, pickle.NEWTRUE[0]: True, pickle.NEWFALSE[0]: False, pickle.EMPTY_TUPLE[0]: ()}
CONTAINERS = {pickle.EMPTY_LIST[0]: list, pickle.EMPTY_DICT[0]: dict, pickle.EMPTY_SET[0]: set}
NUMBERS = {
    pickle.BININT[0]: struct.Struct("<i"),
    pickle.BININT1[0]: struct.Struct("<B"),
    pickle.BININT2[0]: struct.Struct("<H"),
    pickle.BINFLOAT[0]: struct.Struct(">d"),
}
# Operation: bytes of the length before the value, and how the value is read.
COUNTED = {
    pickle.SHORT_BINUNICODE[0]: (1, _text),
    pickle.BINUNICODE[0]: (4, _text),
    pickle.BINUNICODE8[0]: (8, _text),
    pickle.SHORT_BINSTRING[0]: (1, _bytes),
    pickle.BINSTRING[0]: (4, _bytes),
    pickle.SHORT_BINBYTES[0]: (1, _bytes),
    pickle.BINBYTES[0]: (4, _bytes),
    pickle.BINBYTES8[0]: (8, _bytes),
    pickle.BYTEARRAY8[0]: (8, _bytes),
    pickle.LONG1[0]: (1, _long),
    pickle.LONG4[0]: (4, _long),
}
LINES = {
    pickle.INT[0]: line_integer,
    pickle.LONG[0]: line_integer,
    pickle.FLOAT[0]: float,
    pickle.STRING[0]: _line_string,
    pickle.UNICODE[0]: lambda line: str(line, "raw-unicode-escape"),
}
