"""Helpers of the tests of the checkpoint readers."""

import contextlib
import tracemalloc

import numpy as np
import pytest

from mrcnn_keras.weights.readers.checkpoint import Checkpoint, CheckpointError, read_checkpoint


@pytest.fixture(scope="session")
def read_bytes(tmp_path_factory):
    """Reads bytes as a checkpoint file."""
    path = tmp_path_factory.mktemp("weights") / "checkpoint.bin"

    def read(data):
        path.unlink(missing_ok=True)  # an earlier result may still be a view of the file
        path.write_bytes(data)
        return read_checkpoint(path)

    return read


@pytest.fixture(scope="session")
def outcome(read_bytes):
    """Reads bytes that may be anything: a Checkpoint, or the one error that may come of them."""

    def read(data):
        try:
            result = read_bytes(data)
        except CheckpointError as error:
            assert str(error).startswith("checkpoint ") and "checkpoint.bin" in str(error)
            assert len(str(error)) < 600
            return error
        assert isinstance(result, Checkpoint)
        assert all(type(name) is str and type(array) is np.ndarray for name, array in result.tensors.items())
        for array in result.tensors.values():
            array.sum()  # every element can be reached
        return result

    return read


@pytest.fixture(scope="session")
def mutated():
    """Applies edits to a file: (what, place, bytes), what of 0 overwrite, 1 insert, 2 remove, 3 cut off."""

    def mutate(data, edits):
        for what, place, piece in edits:
            place %= len(data) + 1
            if what == 0:
                data = data[:place] + piece + data[place + len(piece) :]
            elif what == 1:
                data = data[:place] + piece + data[place:]
            elif what == 2:
                data = data[:place] + data[place + len(piece) :]
            else:
                data = data[:place]
        return data

    return mutate


@pytest.fixture
def memory_below():
    """Context in which Python and NumPy may not hold more than so many MiB at a time."""

    @contextlib.contextmanager
    def limited(mebibytes):
        tracemalloc.start()
        try:
            yield
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < mebibytes << 20

    return limited
