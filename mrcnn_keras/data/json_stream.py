"""Reads a large JSON object section by section, with the place of every element, in bounded memory."""

import json
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

_CHUNK = 4 << 20
_SPACE = " \t\r\n"


def iterate_sections(path: str | os.PathLike, sections: set[str]) -> Iterator[tuple[str, Any, int, int]]:
    """Elements of the lists under some top-level keys of a JSON file, in the file's order.

    Args:
        path: file that holds one JSON object.
        sections: keys whose values are lists of objects; other keys are passed over.

    Yields:
        (key, element, offset, length): where in the file the element lies, in bytes.

    Raises:
        ValueError: the file is not such JSON; the message names it and the place.
    """
    try:
        with open(path, "rb") as file:
            yield from _Scanner(file).sections(sections)
    except FileNotFoundError:
        raise ValueError(f"annotation file {path} does not exist") from None
    except _Fault as fault:
        raise ValueError(f"annotation file {path} is not valid COCO JSON at byte {fault.place}: {fault}") from None


def read_elements(path: str | os.PathLike, places: np.ndarray) -> list[dict]:
    """Elements that `iterate_sections` has found, read again.

    Args:
        path: the same file.
        places: (N, 2) whole numbers: offset and length of each, in bytes.

    Raises:
        ValueError: the file is not the same any more.
    """
    if not len(places):
        return []
    with open(path, "rb") as file:
        pieces = []
        for offset, length in places.tolist():
            file.seek(offset)
            pieces.append(file.read(length))
    try:
        return [json.loads(piece.decode("utf-8")) for piece in pieces]
    except ValueError:
        raise ValueError(f"annotation file {path} changed since it was opened") from None


class _Fault(Exception):
    def __init__(self, message: str, place: int):
        super().__init__(message)
        self.place = place


class _Scanner:
    # Bytes are read as Latin-1, one character each, so that positions in the text are positions in the file. What
    # lies outside ASCII is decoded again as UTF-8.
    def __init__(self, file: BinaryIO):
        self._file, self._decoder = file, json.JSONDecoder()
        self._text, self._base, self._at, self._ended = "", 0, 0, False

    def sections(self, wanted: set[str]) -> Iterator[tuple[str, Any, int, int]]:
        for mark in "\xef\xbb\xbf" if self._peek() == "\xef" else "":  # a byte order mark
            self._expect(mark)
        self._expect("{")
        while self._peek() != "}":
            key, _, _ = self._value()
            self._expect(":")
            if key in wanted:
                for element in self._elements(key):
                    yield key, *element
            else:
                self._value()
            if self._peek() != "}":
                self._expect(",")

    def _elements(self, key: str) -> Iterator[tuple[Any, int, int]]:
        if self._peek() != "[":
            raise _Fault(f"{key!r} must be a list", self._base + self._at)
        self._expect("[")
        while self._peek() != "]":
            value, offset, length = self._value()
            if not isinstance(value, dict):
                raise _Fault(f"{key!r} must hold objects, found {value!r:.60}", offset)
            yield value, offset, length
            if self._peek() != "]":
                self._expect(",")
        self._expect("]")

    def _value(self) -> tuple[Any, int, int]:
        self._peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                # A number at the very end of what was read may go on.
                if end < len(self._text) or self._ended:
                    break
            except (json.JSONDecodeError, RecursionError) as error:
                if self._ended or isinstance(error, RecursionError):
                    message = getattr(error, "msg", "nested too deeply")
                    raise _Fault(message, self._base + getattr(error, "pos", self._at)) from None
            self._read_more()
        piece = self._text[self._at : end]
        if not piece.isascii():
            try:
                value = json.loads(piece.encode("latin-1").decode("utf-8"))
            except UnicodeDecodeError:
                raise _Fault("text is not UTF-8", self._base + self._at) from None
        offset, length = self._base + self._at, end - self._at
        self._at = end
        return value, offset, length

    def _peek(self) -> str:
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if self._ended:
                raise _Fault("the file ends too early", self._base + self._at)
            self._read_more()

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise _Fault(f"expected {character!r}, found {self._peek()!r}", self._base + self._at)
        self._at += 1

    def _read_more(self) -> None:
        # Doubling what is left keeps a very long element from being parsed over and over.
        rest = self._text[self._at :]
        more = self._file.read(max(_CHUNK, len(rest)))
        self._ended = not more
        self._base += self._at
        self._text, self._at = rest + more.decode("latin-1"), 0
