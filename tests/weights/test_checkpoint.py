"""Which file is which, what of its contents is weights, and what is said about files that are none."""

import collections
import os
import pickle

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from mrcnn_keras.weights.readers import checkpoint as checkpoint_module
from mrcnn_keras.weights.readers.checkpoint import Checkpoint, CheckpointError, read_checkpoint

X, Y = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1.5])


@pytest.fixture
def read(read_bytes):
    """Reads an object that is pickled first."""
    return lambda content, protocol=4: read_bytes(pickle.dumps(content, protocol))


def test_the_whole_result(tmp_path):
    path = tmp_path / "model.anything"
    path.write_bytes(pickle.dumps({"model": {"b": X, "a": Y}, "__author__": "someone", "iteration": 5}))
    for given in (path, str(path), os.fsencode(path)):
        checkpoint = read_checkpoint(given)
        assert isinstance(checkpoint, Checkpoint)
        assert checkpoint.path == str(path) and checkpoint.format == "pickle"
        assert checkpoint.extras == {"__author__": "someone", "iteration": 5}
        assert list(checkpoint.tensors) == ["b", "a"]
        np.testing.assert_array_equal(checkpoint.tensors["b"], X)
        np.testing.assert_array_equal(checkpoint.tensors["a"], Y)
        assert checkpoint.tensors["b"].dtype == np.float32 and checkpoint.tensors["a"].dtype == np.float64


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict", "model_state_dict", "blobs"])
@pytest.mark.parametrize("kind", [dict, collections.OrderedDict])
def test_where_the_weights_are(wrapper, kind, read):
    weights = kind([("x", X), ("y", Y)])
    tensors = read(weights if wrapper is None else {"other": {"x": 1}, wrapper: weights}).tensors
    assert list(tensors) == ["x", "y"]
    np.testing.assert_array_equal(tensors["x"], X)


def test_what_lies_beside_the_weights(read):
    content = {
        "optimizer": {"state": {0: X}},
        "scheduler": {"last_epoch": 3},
        "lr_scheduler": [1, 2],
        "random": np.zeros(5),
        "iteration": 90000,
        "best": 0.5,
        "done": True,
        "nothing": None,
        "__author__": "Detectron2",
        "scalar": np.float32(0.25),
        5: 6,
        "model": {"x": X, "num_batches_tracked": 7, "lr": np.float32(0.5), "momentum": 0.9},
    }
    checkpoint = read(content)
    assert list(checkpoint.tensors) == ["x"]
    assert checkpoint.extras == {
        "iteration": 90000,
        "best": 0.5,
        "done": True,
        "nothing": None,
        "__author__": "Detectron2",
        "scalar": 0.25,
        "num_batches_tracked": 7,
        "lr": 0.5,
        "momentum": 0.9,
    }


def test_the_weights_are_not_taken_from_the_optimizer(read):
    assert list(read({"optimizer": {"x": Y}, "model": {"x": X}}).tensors) == ["x"]
    assert read({"optimizer": {"x": Y}, "model": {"x": X}}).tensors["x"].shape == (2, 3)
    with pytest.raises(CheckpointError, match="holds no arrays by name"):
        read({"optimizer": {"x": Y}})


def test_arrays_of_one_element_stay_arrays(read):
    tensors = read({"num_batches_tracked": np.array(5), "x": X}).tensors
    assert tensors["num_batches_tracked"].shape == () and tensors["num_batches_tracked"] == 5


def test_caffe2_weights(read):
    blobs = {"conv1_w": X, "conv1_w_momentum": X, "lr": 0.1, "fc_momentum": np.float32(0.9)}
    for content in ({"blobs": blobs, "cfg": "MODEL:\n" + "x" * 9000}, blobs):
        checkpoint = read(content)
        assert list(checkpoint.tensors) == ["conv1_w"] and checkpoint.extras["lr"] == 0.1
    assert list(read({"model": {"x": X, "x_momentum": X}}).tensors) == ["x", "x_momentum"]


def test_names_of_python_2(read_bytes):
    # "caf\xe9": a float32 array of one element; and a long text beside it, by Python 2
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    array += b"(I1\n(I1\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x00\\x00\\x80?'\ntb"
    data = b"(dp0\nS'blobs'\n(dS'caf\\xe9'\n" + array + b"ssS'cfg'\nT\x88\x13\x00\x00" + b"\xe9" * 5000 + b"s."
    checkpoint = read_bytes(data)
    assert list(checkpoint.tensors) == ["café"] and checkpoint.tensors["café"].tolist() == [1.0]
    assert checkpoint.extras == {"cfg": "é" * 5000}


@pytest.mark.parametrize(
    "content, message",
    [
        ({"x": X, "y": "text"}, "has 'text' as entry 'y' among its arrays"),
        ({"x": X, "y": [X]}, "has a value of type list as entry 'y' among its arrays"),
        ({"x": X, "y": {"z": X}}, "has a value of type dict as entry 'y'"),
        ({"x": X, "y": None}, "has None as entry 'y'"),
        ({"x": X, 5: Y}, "has 5 as a name among its arrays"),
        ({"model": {"x": X, ("y", 1): Y}}, "has a value of type tuple as a name"),
        ({"x": np.array(["text"])}, r"only plain numbers can be read \(entry 'x'\)"),
        ({"x": np.array([1j])}, r"holds an array of type '<c16'.*\(entry 'x'\)"),
        ({"x" * 1000: np.array([None])}, r"x\'\.\.\.\)$"),
        ([X, Y], "holds a value of type list, not arrays by name"),
        (X, "holds a value of type PickledArray, not arrays by name"),
        ("text", "holds 'text', not arrays by name"),
        ({}, "holds no arrays by name"),
        ({"model": {}}, "holds no arrays by name"),
        ({"model": "text"}, "holds no arrays by name"),
    ],
)
def test_contents_that_are_no_weights(content, message, read):
    with pytest.raises(CheckpointError, match=message) as caught:
        read(content)
    assert len(str(caught.value)) < 500


def test_deep_structures_in_place_of_weights(read_bytes):
    deep = b"]" * 10_000 + b"a" * 9_999
    for around in (b"}U\x05model%bs.", b"%b."):
        with pytest.raises(CheckpointError, match="no arrays by name|not arrays by name"):
            read_bytes(b"\x80\x02" + around % deep)
    data = pickle.dumps({"x": X}, 2)[:-1] + b"U\x01y" + deep + b"s."
    with pytest.raises(CheckpointError, match="has a value of type list as entry 'y'"):
        read_bytes(data)
    data = b"\x80\x02}(U\x05model" + pickle.dumps({"x": X}, 2)[2:-1] + b"U\x05other" + deep + b"u."
    assert read_bytes(data).extras == {}


def test_the_same_bytes_many_times_over(read, memory_below):
    shared = np.zeros(100_000)
    assert len(read({f"x{number}": shared for number in range(10)}).tensors) == 10
    with (
        memory_below(8),
        pytest.raises(CheckpointError, match="declares 80000000 bytes of arrays, but the file has only"),
    ):
        read({f"x{number}": shared for number in range(100)})


def test_the_same_text_many_times_over(read_bytes, memory_below):
    weights = b"U\x05model" + pickle.dumps({"x": X}, 2)[2:-1]
    text = b"T\x40\x9c\x00\x00" + b"a" * 40_000 + b"q\xf0"
    many = b"".join(b"U\x05%05dh\xf0" % number for number in range(10_000))
    with memory_below(16), pytest.raises(CheckpointError, match="to many times its own size"):
        read_bytes(b"\x80\x02}(" + weights + b"U\x05first" + text + many + b"u.")


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "is empty; download it again"),
        (b"<!DOCTYPE html>\n<html><body>Not found</body></html>", "is a web page, .*; download it again"),
        (b"\xef\xbb\xbf\n <html lang='de'>\xc3\xa4\xc3\xb6\xc3\xbc</html>", "is a web page"),
        (b"<html>" + b"\xc3\xa4" * 1000, "is a web page"),
        (b"<html> " + b"\xc3\xa4" * 1000, "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a text file, .*; download it again"),
        (b'{"message": "Not Found"}', "is a text file, .*; download it again"),
        (b"checkpoint not found\nthere\n", "is a text file"),
        (b"\x00" * 1000, "is not a pickle, PyTorch, HDF5 or safetensors file; download it again"),
        (b"\x1f\x8b\x08\x00" + bytes(100), "is not a pickle, PyTorch, HDF5"),
        (b"\x93NUMPY\x01\x00", "is not a pickle, PyTorch, HDF5"),
        (b"\x80\x02", "is damaged: it ends too early.*; download it again"),
        (b"\x80", "is not a pickle"),
        (b"\x80\x09N.", "is not a pickle"),
        (b"PK\x03\x04", "is damaged: its zip archive is cut off or broken; download it again"),
        (b"\x89HDF\r\n\x1a\n", "is damaged: its HDF5 structure is cut off or broken; download it again"),
        (b"\x02\x00\x00\x00\x00\x00\x00\x00{", "is damaged: it ends too early, inside its header; download it again"),
        (b"(dp0\nS'model'\n", "is damaged: it ends too early"),
        (b"cos\nsystem\n(S'true'\ntR.", "asks for os.system, which a checkpoint has no business with; it was not run"),
        (b"\x80\x02cbuiltins\neval\nU\x011\x85R.", "asks for builtins.eval"),
    ],
)
def test_files_that_are_no_checkpoints(data, message, read_bytes):
    with pytest.raises(CheckpointError, match=rf"^checkpoint \S*/checkpoint.bin ({message})"):
        read_bytes(data)


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(CheckpointError, match=f"^checkpoint {tmp_path}/none.pth does not exist; check the path, or"):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match=f"^checkpoint {tmp_path} is a folder; name the file in it"):
        read_checkpoint(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="pipe is not a file"):
        read_checkpoint(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"N.")
    with pytest.raises(CheckpointError, match="does not exist"):
        read_checkpoint(tmp_path / "file" / "inside")
    with pytest.raises(CheckpointError, match="cannot be opened: File name too long"):
        read_checkpoint(tmp_path / ("x" * 1000))
    with pytest.raises(CheckpointError, match="ValueError"):
        read_checkpoint("nul\0byte")


@pytest.mark.parametrize("error", [MemoryError, RecursionError, KeyError("x"), OSError("x"), AssertionError])
def test_whatever_goes_wrong_in_a_reader(error, read, monkeypatch):
    def fail(path, data):
        raise error

    monkeypatch.setitem(checkpoint_module._READERS, "pickle", fail)
    with pytest.raises(
        CheckpointError, match="checkpoint.bin (does not fit into the memory|is damaged: reading it ended)"
    ):
        read({"x": X})


def test_an_interruption_is_not_an_error_of_the_file(read, monkeypatch):
    def fail(path, data):
        raise KeyboardInterrupt

    monkeypatch.setitem(checkpoint_module._READERS, "pickle", fail)
    with pytest.raises(KeyboardInterrupt):
        read({"x": X})


def test_arrays_outlive_everything_else(tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"x": np.arange(10_000)}, 4))
    array = read_checkpoint(path).tensors["x"]
    path.unlink()
    np.testing.assert_array_equal(array, np.arange(10_000))
    assert not array.flags.writeable


@hypothesis.settings(max_examples=300, deadline=None, database=None)
@hypothesis.given(data=st.binary(max_size=600))
def test_random_bytes(data, outcome):
    assert isinstance(outcome(data), CheckpointError)


@pytest.mark.shared
def test_real_pickles_hold_what_pickle_finds_in_them(shared_dir):
    paths = sorted((shared_dir / "parity").glob("*/weights.pkl"))
    assert len(paths) >= 9
    for path in paths:
        checkpoint = read_checkpoint(path)
        with open(path, "rb") as file:
            content = pickle.load(file)
        assert checkpoint.extras == {"__author__": content["__author__"]}
        assert list(checkpoint.tensors) == list(content["model"])
        for name, array in checkpoint.tensors.items():
            assert array.dtype == content["model"][name].dtype
            np.testing.assert_array_equal(array, content["model"][name])
