"""Tensors in PyTorch's two file formats, written by hand."""

import collections
import zipfile

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from mrcnn_keras.weights.readers.checkpoint import CheckpointError, read_checkpoint

from .torch_writer import FORMS, Call, Named, Storage, floats, tensor, write, write_stream

EDITS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 1 << 16), st.binary(min_size=1, max_size=9)), min_size=1, max_size=4
)
FUZZ = {"deadline": None, "database": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}


KINDS = {
    "Float": (np.array([1.5, -2, np.inf], np.float32), np.float32),
    "Double": (np.array([1e300, 2]), np.float64),
    "Half": (np.array([0.5, -8], np.float16), np.float16),
    "Long": (np.array([2**62, -1]), np.int64),
    "Int": (np.array([2**30, -1], np.int32), np.int32),
    "Short": (np.array([2**14, -1], np.int16), np.int16),
    "Char": (np.array([127, -128], np.int8), np.int8),
    "Byte": (np.array([0, 255], np.uint8), np.uint8),
    "Bool": (np.array([True, False]), np.bool_),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_storage(kind, form, read_bytes):
    values, dtype = KINDS[kind]
    checkpoint = read_bytes(write({"x": tensor(Storage(values, f"torch.{kind}Storage"), values.shape)}, form))
    assert checkpoint.format == "torch" and list(checkpoint.tensors) == ["x"]
    assert checkpoint.tensors["x"].dtype == dtype
    np.testing.assert_array_equal(checkpoint.tensors["x"], values)


@pytest.mark.parametrize("form", FORMS)
def test_bfloat16_becomes_float32(form, read_bytes):
    values = np.array([1.0, -2.5, 3.140625, 0, np.inf, 2.0**-130], np.float32)  # all of them exact in bfloat16
    halves = (values.view(np.uint32) >> 16).astype(np.uint16)
    storage = Storage(halves, "torch.BFloat16Storage")
    tensors = read_bytes(write({"x": tensor(storage, (2, 3)), "y": tensor(storage, (2,), offset=1)}, form)).tensors
    assert tensors["x"].dtype == np.float32
    np.testing.assert_array_equal(tensors["x"], values.reshape(2, 3))
    np.testing.assert_array_equal(tensors["y"], values[1:3])


@pytest.mark.parametrize("form", FORMS)
def test_views_of_a_storage(form, read_bytes):
    base = np.arange(24, dtype=np.float32)
    storage = Storage(base)
    content = {
        "whole": tensor(storage, (2, 3, 4)),
        "transposed": tensor(storage, (4, 6), (1, 4)),
        "part": tensor(storage, (2, 2), (4, 1), offset=5),
        "last": tensor(storage, (1,), offset=23),
        "steps": tensor(storage, (3,), (8,)),
        "0-d": tensor(storage, (), offset=7),
        "any stride where there is one": tensor(storage, (1, 2), (10**30, 1)),
        "repeated": tensor(storage, (2, 3), (0, 1)),
        "empty": tensor(storage, (0, 4), (4, 1), offset=24),
    }
    tensors = read_bytes(write(content, form)).tensors
    assert list(tensors) == list(content)
    expected = {
        "whole": base.reshape(2, 3, 4),
        "transposed": base.reshape(6, 4).T,
        "part": [[5, 6], [9, 10]],
        "last": [23],
        "steps": [0, 8, 16],
        "0-d": np.float32(7),
        "any stride where there is one": [[0, 1]],
        "repeated": [[0, 1, 2], [0, 1, 2]],
        "empty": np.zeros((0, 4)),
    }
    for name, array in tensors.items():
        assert array.shape == np.shape(expected[name]) and array.dtype == np.float32
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize("form", FORMS)
def test_state_dictionaries_among_other_things(form, read_bytes):
    weight, array = floats(3, 2)
    state = collections.OrderedDict([("b", weight), ("a", Call("torch._utils._rebuild_parameter", weight, True, {}))])
    state._metadata = collections.OrderedDict([("", {"version": 2})])
    content = {
        "model": state,
        "optimizer": {"state": {0: {"momentum_buffer": weight}}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]},
        "scheduler": {"milestones": collections.Counter([1, 2, 2]), "device": Call("torch.device", "cuda", 0)},
        "iteration": 90000,
        "size": Call("torch.Size", [1, 2]),
        "kind": Named("torch.float32"),
    }
    checkpoint = read_bytes(write(content, form))
    assert list(checkpoint.tensors) == ["b", "a"] and checkpoint.extras == {"iteration": 90000}
    for found in checkpoint.tensors.values():
        np.testing.assert_array_equal(found, array)


def test_options_of_torchvisions_training_script(read_bytes):
    import argparse

    weight, array = floats(2)
    checkpoint = read_bytes(write({"model": {"x": weight}, "args": argparse.Namespace(lr=0.1), "epoch": 25}))
    assert checkpoint.extras == {"epoch": 25}
    np.testing.assert_array_equal(checkpoint.tensors["x"], array)


def test_other_ways_to_write_a_tensor(read_bytes):
    array = np.arange(6, dtype=np.float32)
    storage, untyped = Storage(array), Storage(array, "torch.storage.UntypedStorage", count=24)
    hooks = collections.OrderedDict()
    content = {
        "v1": Call("torch._utils._rebuild_tensor", storage, 0, (6,), (1,)),
        "v3": Call("torch._utils._rebuild_tensor_v3", untyped, 2, (4,), (1,), False, hooks, Named("torch.float32"), {}),
        "v3 u2": Call("torch._utils._rebuild_tensor_v3", untyped, 0, (12,), (1,), False, hooks, Named("torch.uint16")),
    }
    tensors = read_bytes(write(content)).tensors
    np.testing.assert_array_equal(tensors["v1"], array)
    np.testing.assert_array_equal(tensors["v3"], array[2:])
    np.testing.assert_array_equal(tensors["v3 u2"], array.view(np.uint16))


def test_big_endian_files(read_bytes):
    values = np.array([1.5, -2, 3], ">f4")
    half = np.array([0x3F80, 0xC000], ">u2")  # 1 and -2
    content = {"x": tensor(Storage(values), (3,)), "y": tensor(Storage(half, "torch.BFloat16Storage"), (2,))}
    tensors = read_bytes(write(content, byte_order=b"big")).tensors
    assert tensors["x"].tolist() == [1.5, -2, 3] and tensors["x"].dtype.isnative
    assert tensors["y"].tolist() == [1, -2]
    with pytest.raises(CheckpointError, match="byte order is b'middle'"):
        read_bytes(write(content, byte_order=b"middle"))
    assert read_bytes(write({"x": floats(2)[0]}, byte_order=None)).tensors["x"].tolist() == floats(2)[1].tolist()


def test_archives_packed_again(read_bytes):
    weight, array = floats(50, 20)
    data = write({"x": weight}, compression=zipfile.ZIP_DEFLATED)
    np.testing.assert_array_equal(read_bytes(data).tensors["x"], array)
    with pytest.raises(CheckpointError, match="compression that PyTorch does not use"):
        read_bytes(write({"x": weight}, compression=zipfile.ZIP_LZMA))


def test_views_of_storages_in_old_streams(read_bytes):
    base = np.arange(10, dtype=np.float32)
    storage = Storage(base)
    storage.view = ("view", 4, 3)
    assert read_bytes(write_stream({"x": tensor(storage, (2,), offset=1)})).tensors["x"].tolist() == [5, 6]
    with pytest.raises(CheckpointError, match="outside storage '0', which has 3 elements"):
        read_bytes(write_stream({"x": tensor(storage, (4,))}))
    storage.view = ("view", 8, 3)
    with pytest.raises(CheckpointError, match="view reaches outside storage '0'"):
        read_bytes(write_stream({"x": tensor(storage, (2,))}))


@pytest.mark.parametrize("form", FORMS)
def test_tensors_are_views_of_the_file(form, tmp_path, memory_below):
    path = tmp_path / "large.pth"
    path.write_bytes(write({"x": tensor(Storage(np.zeros(2_000_000, np.float32)), (2_000_000,))}, form))
    with memory_below(1):
        assert read_checkpoint(path).tensors["x"].nbytes == 8_000_000


@pytest.mark.parametrize("form", FORMS)
@hypothesis.settings(max_examples=120, **FUZZ)
@hypothesis.given(edits=EDITS)
def test_mutated_files(form, edits, outcome, mutated):
    half = tensor(Storage(np.ones(4, np.uint16), "torch.BFloat16Storage"), (2, 2))
    outcome(mutated(write({"model": {"x": floats(2, 3)[0], "y": half}, "iteration": 3}, form), edits))


@hypothesis.settings(max_examples=120, **FUZZ)
@hypothesis.given(edits=EDITS)
def test_mutated_packed_files(edits, outcome, mutated):
    outcome(mutated(write({"x": floats(2, 30)[0]}, compression=zipfile.ZIP_DEFLATED), edits))


@pytest.mark.parametrize("beginning", [b"PK\x03\x04", b"PK\x05\x06", write_stream({})[:15]])
@hypothesis.settings(max_examples=100, **FUZZ)
@hypothesis.given(data=st.binary(max_size=300))
def test_random_bytes(beginning, data, outcome):
    assert isinstance(outcome(beginning + data), CheckpointError)


@pytest.mark.shared
def test_both_forms_of_a_real_file_hold_the_same(shared_dir):
    folder = shared_dir / "parity" / "tv_mask_r50_fpn"
    new, old = read_checkpoint(folder / "weights.pth"), read_checkpoint(folder / "weights_legacy.pth")
    assert new.format == old.format == "torch" and list(new.tensors) == list(old.tensors)
    assert new.tensors["backbone.body.conv1.weight"].shape == (8, 3, 7, 7) and len(new.tensors) == 307
    for name, array in new.tensors.items():
        assert array.dtype == old.tensors[name].dtype == np.float32
        np.testing.assert_array_equal(array, old.tensors[name])
