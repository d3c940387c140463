"""What the tests of the operations share."""

import pytest

from .oracle import make_pyramid, numpy_roi_align, numpy_roi_pool, numpy_roi_warp


@pytest.fixture(scope="module", autouse=True)
def forget_traces():
    """Frees what the fallback has traced after each module, which tries more options than a model has."""
    yield
    from mrcnn_keras.ops import _fallback

    _fallback._as_function.cache_clear()


@pytest.fixture(scope="session")
def oracle():
    """The NumPy RoIAlign."""
    return numpy_roi_align


@pytest.fixture(scope="session")
def oracles():
    """The NumPy RoIWarp and RoIPool, by the names that the operation gives them."""
    return {"warp": numpy_roi_warp, "pool": numpy_roi_pool}


@pytest.fixture(params=["compiled", "tensorflow"])
def implementation(request):
    """Both implementations; the compiled one is skipped where it is not built."""
    if request.param == "compiled":
        request.getfixturevalue("compiled_only")
    return request.param


@pytest.fixture(scope="session")
def compiled_only():
    """The module of the compiled operations; the test is skipped where they are not built."""
    from mrcnn_keras.ops import _library

    library = _library.load()
    if library.module is None:
        pytest.skip(f"no compiled operation: {library.reason}")
    return library.module


@pytest.fixture
def compiled_file(compiled_only):
    """Path of the compiled operations."""
    from mrcnn_keras.ops import _library

    return _library.load().path


@pytest.fixture(scope="session")
def pyramid():
    """Five levels of three images, and boxes of many kinds."""
    return make_pyramid()
