"""Pickles of plain values and NumPy arrays, and pickles that want something else."""

import collections
import os
import pickle
import struct

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from mrcnn_keras.weights.readers.limits import Budget, CheckpointError
from mrcnn_keras.weights.readers.numpy_objects import numpy_names
from mrcnn_keras.weights.readers.pickle_machine import read_pickle

PROTOCOLS = range(6)
EDITS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 1 << 16), st.binary(min_size=1, max_size=9)), min_size=1, max_size=4
)


def load(data, start=0):
    budget = Budget(len(data))
    return read_pickle(data, numpy_names(budget), budget, start)


def loaded(data):
    value, end = load(data)
    assert end == len(data)
    return value


PLAIN = {
    "integers": [0, 1, 255, 256, 65536, -1, -(2**31), 2**31, 2**63, -(2**70), 2**200],
    "floats": [0.0, -1.5, 1e300, float("inf"), 1 / 3],
    "texts": ["", "a", "line\nline \\ 'quoted' \"twice\"", "ünïcödé 🙂", "x" * 300, "y" * 70000, "\ud800"],
    "bytes": [b"", b"abc\x00\xff\n", bytes(range(256))],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((), ((),))],
    "sets": [set(), {1, 2, "three"}, frozenset({4, None}), {("a", 1)}],
    "others": [None, True, False, [], {}, {1: {2.5: {None: {True: {(1, "b"): {b"k": []}}}}}}],
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", PLAIN)
def test_plain_values(name, protocol):
    value = loaded(pickle.dumps(PLAIN[name], protocol))
    assert value == PLAIN[name] and repr(value) == repr(PLAIN[name])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ordered_dictionaries_keep_their_order_and_lose_their_attributes(protocol):
    original = collections.OrderedDict([("b", 1), ("a", [2]), ("c", 3)])
    original._metadata = {"": {"version": 1}}
    assert list(loaded(pickle.dumps(original, protocol)).items()) == list(original.items())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shared_and_circular_objects(protocol):
    shared = ["shared"]
    circle = [shared, {"again": shared}]
    circle.append(circle)
    value = loaded(pickle.dumps(circle, protocol))
    assert value[0] == shared and value[0] is value[1]["again"] and value[2] is value


def test_long_bytes_are_views_of_the_file():
    content = bytes(range(256)) * 100
    for protocol in (3, 4, 5):
        value = loaded(pickle.dumps(content, protocol))
        assert isinstance(value, memoryview) and value == content
    assert loaded(pickle.dumps(bytearray(content), 5)) == content


@pytest.mark.parametrize(
    "data",
    [
        b"S'a\\x00\\xff\\n\\'b'\n.",
        b'S"a\\x00\\xff\\n\'b"\n.',
        b"T\x06\x00\x00\x00a\x00\xff\n'b.",
        b"U\x06a\x00\xff\n'b.",
    ],
)
def test_strings_of_python_2_are_bytes(data):
    assert loaded(data) == b"a\x00\xff\n'b"


def test_several_pickles_in_a_row():
    data = b"".join(
        pickle.dumps(value, protocol) for protocol, value in enumerate(["zero", 1, [2], {3: 3}, (4,), b"5"])
    )
    found, at = [], 0
    while at < len(data):
        value, at = load(data, at)
        found.append(value)
    assert found == ["zero", 1, [2], {3: 3}, (4,), b"5"]


def test_operations_that_pickle_itself_no_longer_writes():
    assert loaded(b"(I1\nI2\nI01\nI00\nl.") == [1, 2, True, False]
    assert loaded(b"(K\x01K\x02d.") == {1: 2}
    assert loaded(b"(lp0\nI1\nag0\n0.") == [1]
    assert loaded(b"K\x012((K\x02K\x0311\x86.") == (1, 1)
    assert loaded(b"(ccollections\nOrderedDict\n(lo.") == {}
    assert loaded(b"((licollections\nOrderedDict\n.") == {}
    assert loaded(b"\x80\x04ccollections\nOrderedDict\n)}\x92.") == {}


class MakesFolder:
    """Unpickled by `pickle`, it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_functions_are_named_and_not_run(protocol, tmp_path):
    data = pickle.dumps({"model": MakesFolder(tmp_path / "made")}, protocol)
    with pytest.raises(CheckpointError, match=f"asks for {os.mkdir.__module__}.mkdir, .* not run"):
        load(data)
    assert not (tmp_path / "made").exists()
    pickle.loads(data)
    assert (tmp_path / "made").exists()  # so the file was a real one


@pytest.mark.parametrize(
    "data, name",
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"(S'true'\nios\nsystem\n.", "os.system"),
        (b"(cos\nsystem\nS'true'\no.", "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "os.system"),
        (b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.", "builtins.eval"),
        (b"\x80\x02c__builtin__\ngetattr\n.", "__builtin__.getattr"),
        (b"\x80\x02csubprocess\nPopen\n)\x81.", "subprocess.Popen"),
        (b"\x80\x02cnumpy.f2py\ncompile\n.", "numpy.f2py.compile"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.sort\x93.", "numpy.ndarray.sort"),
        (b"\x80\x02ctorch\nload\n.", "torch.load"),
    ],
)
def test_names_that_are_not_in_the_table(data, name):
    with pytest.raises(CheckpointError, match=f"asks for {name}, which a checkpoint has no business with"):
        load(data)


def test_a_strange_name_is_shown_harmlessly():
    for name in (b"\x1b[2J", b"a" * 1000, "é\u202e".encode()):
        with pytest.raises(CheckpointError, match="asks for") as caught:
            load(b"\x80\x02cevil\n" + name + b"\n.")
        assert len(str(caught.value)) < 200 and str(caught.value).isprintable()
    with pytest.raises(CheckpointError, match="asks for a value of type list"):
        load(b"\x80\x04K\x01]\x93.")


@pytest.mark.parametrize(
    "data, message",
    [
        (b"\x80\x02cnumpy\nndarray\n)R.", "calls numpy.ndarray"),
        (b"\x80\x02U\x06system)R.", "calls b'system'"),
        (b"\x80\x02])\x81.", "calls a value of type list"),
        (b"\x80\x02cnumpy\ndtype\n}b.", "sets attributes of a value of type Name"),
        (b"\x80\x02]}b.", "sets attributes of a value of type list"),
        (b"\x80\x02K\x05Q.", "outside its pickle"),
        (b"Psomething\n.", "outside its pickle"),
        (b"\x80\x06N.", "protocol newer than 5"),
    ],
)
def test_other_things_that_a_checkpoint_does_not_do(data, message):
    with pytest.raises(CheckpointError, match=message):
        load(data)


@pytest.mark.parametrize(
    "data",
    [
        b".",
        b"K\x010.",  # nothing left to return
        b"00.",
        b"h\x00.",  # never stored
        b"q\x00.",
        b"\x94.",
        b"e.",
        b"t.",  # no mark
        b"2.",
        b"K\x01\x86.",
        b"}K\x01s.",
        b"K\x01K\x02K\x03s.",  # not a dictionary
        b"K\x01K\x02a.",
        b"K\x01(K\x01\x90.",
        b"}(K\x01u.",  # no value for the key
        b"Iabc\n.",
        b"I" + b"1" * 1000 + b"\n.",
        b"\x8a\xff" + b"\x01" * 255 + b".",
        b"Fabc\n.",
        b"Sabc\n.",
        b"S'\n.",
        b"X\x01\x00\x00\x00\xff.",
        b"c\xff\nx\n.",
        b"ccollections\nOrderedDict\n]R.",
        b"ccollections\nOrderedDict\n(K\x01K\x02tR.",
        b"ccollections\nOrderedDict\n)K\x01\x92.",
        b"ccollections\nOrderedDict\n(" + b"N" * 50 + b"tR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(NNNtR.",
        b"cnumpy.core.multiarray\nscalar\n(NNtR.",
        b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.",
        b"\x82\x01.",  # extension registry
        b"\x97.",  # buffers outside the pickle
        b"\xfe",
        b"p-\n.",
        b"N\x80",
    ],
)
def test_damaged_pickles(data):
    with pytest.raises(CheckpointError, match="is damaged: .*; download it again"):
        load(data)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickles_cut_off_anywhere(protocol):
    data = pickle.dumps({"model": {"a": np.arange(3.0), "b": [1, "two", 2.5, (4,) * 5]}, "n": 2**70}, protocol)
    for length in range(len(data)):
        with pytest.raises(CheckpointError, match="is damaged"):
            load(data[:length])


@pytest.mark.parametrize("depth", [10_000, 35_000])
@pytest.mark.parametrize("begin, end", [(b"]", b"a"), (b"(", b"t"), (b"}K\x01", b"s"), (b"", b"\x85")])
def test_deep_structures(begin, end, depth):
    value = loaded(b"\x80\x02" + begin * depth + b"N" + end * depth + b".")
    levels = 0
    while value is not None:
        value, levels = value[0 if not isinstance(value, dict) else 1], levels + 1
    assert levels == depth


def test_deep_structures_are_no_keys():
    nested = b"N" + b"\x85" * 100_000
    for data in (b"}" + nested + b"Ns", b"\x8f(" + nested + b"\x90", b"(" + nested + b"\x91", b"(" + nested + b"Nd"):
        with pytest.raises(CheckpointError, match="a value of type tuple as the key"):
            load(b"\x80\x04" + data + b".")


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b"abc.",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc.",
        b"\x80\x04\x8d" + struct.pack("<Q", 2**63) + b"abc.",
        b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
        b"\x80\x02B" + struct.pack("<I", 2**31 - 1) + b"abc.",
        b"\x80\x02T" + struct.pack("<I", 2**32 - 1) + b"abc.",
        b"\x80\x02X" + struct.pack("<I", 2**31 - 1) + b"abc.",
        b"\x80\x02\x8b" + struct.pack("<I", 2**31 - 1) + b"abc.",
    ],
)
def test_lengths_that_the_file_does_not_have(data, memory_below):
    with memory_below(1), pytest.raises(CheckpointError, match="ends too early"):
        load(data)


def test_a_far_place_in_the_memo_takes_no_memory(memory_below):
    with memory_below(1):
        assert loaded(b"\x80\x02Nr\xff\xff\xff\x7f0j\xff\xff\xff\x7f.") is None
        assert loaded(b"Np2147483647\n0g2147483647\n.") is None
    with pytest.raises(CheckpointError, match="damaged"):
        load(b"Np" + str(2**61 - 1).encode() + b"\n.")


# Small files that repeat an operation which makes or copies much.
AMPLIFIERS = {
    "empty sets": b"\x8f" * 300_000,
    "marks": b"(" * 300_000,
    "calls": b"ccollections\nOrderedDict\nq\x00" + b"h\x00)R" * 100_000,
    "copied strings": b"X\xa0\x86\x01\x00"
    + b"a" * 100_000
    + b"\x85q\x01c_codecs\nencode\nq\x00"
    + b"h\x00h\x01R" * 10_000,
    "copied pairs": b"("
    + b"".join(b"J" + number.to_bytes(4, "little") + b"N\x86" for number in range(30_000))
    + b"l\x85q\x01ccollections\nOrderedDict\nq\x00"
    + b"h\x00h\x01R" * 10_000,
}


@pytest.mark.parametrize("name", AMPLIFIERS)
def test_small_files_cannot_fill_the_memory(name, memory_below):
    with memory_below(64), pytest.raises(CheckpointError, match="steps to read than|to many times its own size"):
        load(b"\x80\x04" + AMPLIFIERS[name] + b".")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@hypothesis.settings(max_examples=60, deadline=None, database=None)
@hypothesis.given(edits=EDITS)
def test_mutated_pickles(protocol, edits, outcome, mutated):
    content = {"model": {"a": np.arange(4, dtype=np.float32), "b": np.array(2)}, "iteration": 3, "x": [1.5, ("t",)]}
    outcome(mutated(pickle.dumps(content, protocol), edits))


@hypothesis.settings(max_examples=200, deadline=None, database=None)
@hypothesis.given(data=st.binary(max_size=200))
def test_random_operations(data, outcome):
    outcome(b"\x80\x04" + data)


PIECES = [value for name, value in vars(pickle).items() if name.isupper() and type(value) is bytes and len(value) == 1]
PIECES += [
    b"h\x00",
    b"q\x00",
    b"K\x02",
    b"U\x02f4",
    b"cnumpy\ndtype\n",
    b"cnumpy\nndarray\n",
    b"\x00",
]
PIECES += [b"c%b\n%b\n" % tuple(name.encode().rsplit(b".", 1)) for name in numpy_names(Budget(0))]


@hypothesis.settings(max_examples=300, deadline=None, database=None)
@hypothesis.given(pieces=st.lists(st.sampled_from(PIECES), max_size=40))
def test_random_sequences_of_operations(pieces):
    data = b"".join(pieces)
    try:
        load(data)
    except CheckpointError as error:
        assert str(error)
