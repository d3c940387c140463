"""Which implementation runs, and what is said when the compiled one cannot."""

import concurrent.futures
import threading
import warnings

import pytest
import tensorflow as tf

from mrcnn_keras import ops
from mrcnn_keras.ops import _choice, _library, build


def auto():
    """What "auto" takes now."""
    return _choice.resolve("auto")


@pytest.fixture
def library(monkeypatch, tmp_path):
    """Where the package looks for the compiled operation: a file of the test, at first not there."""
    path = tmp_path / build.LIBRARY_NAME
    monkeypatch.setattr(build, "library_path", lambda: path)
    monkeypatch.setattr(_library, "_warned", set())
    monkeypatch.delenv(_choice.VARIABLE, raising=False)
    _library._load.cache_clear()
    yield path
    _library._load.cache_clear()


def write_stamp(path, **changes):
    stamp = {"tensorflow": tf.__version__, "cuda": False, "sources": build.sources_hash()} | changes
    path.write_bytes(b"\x7fELF..." + str(build.Stamp(**stamp)).encode() + b"...")


def pool():
    return ops.multilevel_roi_align([tf.ones((1, 4, 4, 2))], [[0, 0, 4, 4]], [0], [0], scales=[1.0], output_size=1)


def test_missing_library_falls_back_and_warns_once(library):
    with pytest.warns(RuntimeWarning, match="was not built at installation; `mrcnn-keras doctor --build-ops`"):
        assert pool().shape == (1, 1, 1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pool()
    status = ops.status()
    assert status.implementation == "tensorflow" and "doctor --build-ops" in status.remedy
    assert "was not built" in str(status) and status.built_for is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tensorflow": "2.20.1"}, f"built for TensorFlow 2.20.1, this is {tf.__version__}"),
        ({"sources": "0123456789abcdef"}, "built from other sources"),
        ({}, "does not load"),  # right in all it says, but no library
    ],
)
def test_library_that_does_not_fit(library, changes, reason):
    write_stamp(library, **changes)
    with pytest.warns(RuntimeWarning, match=reason):
        assert auto() == "tensorflow"
    assert reason in ops.status().reason
    assert ops.status().built_for == changes.get("tensorflow", tf.__version__)


def test_library_without_a_stamp(library):
    library.write_bytes(b"\x7fELF")
    with pytest.warns(RuntimeWarning, match="does not say what it was built for"):
        assert auto() == "tensorflow"


def test_compiled_asked_for_but_not_there_is_an_error(library):
    with pytest.raises(RuntimeError, match="not available: .* was not built .*doctor --build-ops"):
        ops.multilevel_roi_align(
            [tf.ones((1, 4, 4, 2))], [[0, 0, 4, 4]], [0], [0], scales=[1.0], implementation="compiled"
        )


def test_no_warning_where_the_fallback_is_asked_for(library, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ops.use_implementation("tensorflow"):
            pool()
        monkeypatch.setenv(_choice.VARIABLE, "tensorflow")
        pool()
        assert ops.status().implementation == "tensorflow" and ops.status().remedy is None
        assert _choice.VARIABLE in ops.status().reason


def test_library_without_cuda_is_not_taken_where_there_is_a_gpu(library, monkeypatch):
    loaded = _library.Library(object(), "it is built and loaded", build.Stamp(tf.__version__, False, "00"))
    monkeypatch.setattr(_library, "load", lambda: loaded)
    assert auto() == "compiled"
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind=None: ["a GPU"])
    with pytest.warns(RuntimeWarning, match="built without CUDA, and there is a GPU"):
        assert auto() == "tensorflow"


def test_inner_block_goes_before_outer_block_and_environment(library, monkeypatch):
    monkeypatch.setenv(_choice.VARIABLE, "auto")
    with ops.use_implementation("tensorflow"):
        with ops.use_implementation("compiled"):
            assert _choice.requested()[0] == "compiled"
        assert auto() == "tensorflow"
    assert _choice.requested()[0] == "auto"


def test_block_ends_with_an_error(library):
    with pytest.raises(KeyError), ops.use_implementation("tensorflow"):
        raise KeyError
    assert _choice.requested()[0] == "auto"


def test_threads(library):
    inside, seen = threading.Event(), threading.Event()

    def other():
        with ops.use_implementation("compiled"):
            inside.set()
            seen.wait(10)

    with concurrent.futures.ThreadPoolExecutor() as pool, ops.use_implementation("tensorflow"):
        # A thread without a block of its own, as a distribution strategy starts them, follows the caller's.
        assert pool.submit(_choice.requested).result()[0] == "tensorflow"
        running = pool.submit(other)
        assert inside.wait(10)
        assert _choice.requested()[0] == "tensorflow"
        seen.set()
        running.result()


def test_wrong_names(library, monkeypatch):
    with pytest.raises(ValueError, match="use_implementation must be one of .*, got 'xla'"):
        with ops.use_implementation("xla"):
            pass
    monkeypatch.setenv(_choice.VARIABLE, "quick")
    with pytest.raises(ValueError, match="environment variable MRCNN_KERAS_OPS must be one of .*, got 'quick'"):
        auto()


def test_xla_takes_stock_operations(compiled_only, monkeypatch):
    monkeypatch.delenv(_choice.VARIABLE, raising=False)
    taken = []

    def trace(x):
        taken.append(auto())
        return x

    tf.function(trace, jit_compile=True)(1.0)
    tf.function(trace)(1.0)
    assert taken[0] == "tensorflow" and taken[-1] == "compiled"
