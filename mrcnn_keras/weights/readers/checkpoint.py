"""Checkpoint files of other programs as named arrays, without running anything that is in them."""

import dataclasses
import mmap
import os
import re
import stat
from typing import Any

import numpy as np

from .contents import split_contents
from .hdf5_file import read_hdf5
from .limits import Budget, CheckpointError, damaged
from .numpy_objects import numpy_names
from .pickle_machine import read_pickle
from .safetensors_file import is_safetensors, read_safetensors
from .torch_file import read_torch_stream, read_torch_zip

__all__ = ["Checkpoint", "CheckpointError", "read_checkpoint"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
# A pickle of PyTorch's magic number, by any protocol that it may be written in.
_TORCH_STREAM = re.compile(rb"\x80[\x02-\x05](\x95.{8})?\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL)
# Protocols from 2 on say so; before that a pickle begins with the container that it holds or the name of its type.
_PICKLE = re.compile(rb"\x80[\x00-\x05]|[\]}][qr(.]|\([dl]|\(?[ci][\w.]+\n[\w.]+\n", re.DOTALL)
_TAR, _TAR_PLACE = b"ustar", 257
_TEXT_SAMPLE = 512
_AGAIN = "download it again"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The contents of a checkpoint file.

    Attributes:
        path: the file.
        format: "pickle", "torch", "hdf5" or "safetensors".
        tensors: arrays by their names in the file, in its order and in native byte order. Many are read-only views of
            the file, which must not change while they are in use.
        extras: plain values beside the arrays: "__author__", "iteration" and the like.
    """

    path: str
    format: str
    tensors: dict[str, np.ndarray]
    extras: dict[str, Any]


def read_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Reads a checkpoint file of PyTorch, Detectron, Keras (HDF5) or safetensors; no code in it is run.

    Args:
        path: the file; its first bytes say of which kind it is.

    Raises:
        CheckpointError: the file is missing, damaged, of another kind, or asks for more than a checkpoint needs; the
            message names the path, what is wrong and what to do.
    """
    path = os.fsdecode(path)
    try:
        data = _mapped(path)
        kind = _kind(data)
        return Checkpoint(path, kind, *_READERS[kind](path, data))
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint {path} {error}") from None
    except MemoryError:
        raise CheckpointError(f"checkpoint {path} does not fit into the memory that is free") from None
    except Exception as error:  # a damaged file can make the libraries under the readers stumble in any way
        reason = damaged(f"reading it ended with {type(error).__name__}")
        raise CheckpointError(f"checkpoint {path} {reason}") from error


def _mapped(path: str) -> mmap.mmap:
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise CheckpointError("is a folder; name the file in it")
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError("is not a file")
        if not status.st_size:
            raise CheckpointError(f"is empty; {_AGAIN}")
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError("does not exist; check the path, or download it") from None
    except OSError as error:
        raise CheckpointError(f"cannot be opened: {error.strerror}") from None


def _kind(data: mmap.mmap) -> str:
    if data[:8] == _HDF5:
        return "hdf5"
    if data[:4] in _ZIP:
        return "torch"
    if is_safetensors(data):
        return "safetensors"
    if data[_TAR_PLACE : _TAR_PLACE + len(_TAR)] == _TAR:
        raise CheckpointError("is a tar archive, as PyTorch wrote before version 0.2; save it again with PyTorch")
    sample = data[:_TEXT_SAMPLE]
    if _TORCH_STREAM.match(sample):
        return "torch"
    if _PICKLE.match(sample):
        return "pickle"
    if text := _text(sample):
        what = "a web page" if text.lstrip().startswith("<") else "a text file"
        raise CheckpointError(f"is {what}, saved in place of the checkpoint; {_AGAIN}")
    raise CheckpointError(f"is not a pickle, PyTorch, HDF5 or safetensors file; {_AGAIN}")


def _text(sample: bytes) -> str | None:
    """The beginning of a file as text, if it is text."""
    try:
        text = sample.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < _TEXT_SAMPLE - 3:  # not just a character that the end of the sample cuts in two
            return None
        text = sample[: error.start].decode("utf-8-sig")
    return text if all(character.isprintable() or character.isspace() for character in text) else None


def _read_pickle(path: str, data: mmap.mmap) -> tuple[dict, dict]:
    budget = Budget(len(data))
    return split_contents(read_pickle(data, numpy_names(budget), budget)[0], budget)


def _read_torch(path: str, data: mmap.mmap) -> tuple[dict, dict]:
    budget = Budget(len(data))
    is_zip = data[:4] in _ZIP
    content = read_torch_zip(path, data, budget) if is_zip else read_torch_stream(data, budget)
    return split_contents(content, budget)


def _read_hdf5(path: str, data: mmap.mmap) -> tuple[dict, dict]:
    return read_hdf5(path, len(data)), {}


def _read_safetensors(path: str, data: mmap.mmap) -> tuple[dict, dict]:
    return read_safetensors(data, Budget(len(data)))


_READERS = {
    "pickle": _read_pickle,
    "torch": _read_torch,
    "hdf5": _read_hdf5,
    "safetensors": _read_safetensors,
}
