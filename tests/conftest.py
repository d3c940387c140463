"""Fixtures shared by all tests."""

import importlib
import os
import pathlib
import sys

import pytest

from . import resources

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

ROOT = pathlib.Path(__file__).resolve().parent.parent


def pytest_configure(config):
    config.pluginmanager.register(resources)


def pytest_collection_modifyitems(items):
    """Order the tests for several processes, of which one that has nothing left takes the other's last ones.

    The few long tests of memory come first. Those of serving stay together: they share a server. Those of the
    operations come last and are shared out: TensorFlow keeps what each of them has traced, hundreds of MB in all.
    """
    order = {"test_memory": -2, "serving": -1, "ops": 1}
    items.sort(key=lambda item: order.get(item.path.stem, order.get(item.path.parent.name, 0)))


@pytest.fixture(scope="session")
def shared_dir() -> pathlib.Path:
    """Folder of reference cases and photos; tests that need it are skipped where it is absent."""
    folder = pathlib.Path(os.environ.get("MRCNN_TEST_DATA", ROOT.parent / "shared"))
    if not (folder / "parity").is_dir():
        pytest.skip(f"no test data at {folder}; set MRCNN_TEST_DATA")
    return folder


@pytest.fixture
def load_sample(monkeypatch):
    """Imports a module of samples/ by name."""
    folder = ROOT / "samples"
    monkeypatch.syspath_prepend(str(folder))
    yield importlib.import_module
    for path in folder.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture(scope="module")
def eager_training():
    """Train without graphs in a module, which saves the seconds of tracing them: for tests of anything but graphs.

    A test that is about graphs says `compile(run_eagerly=False)`.
    """
    from mrcnn_keras.training.trainer import Trainer

    compile = Trainer.compile

    def compile_eagerly(model, optimizer=None, **options):
        eagerly = not options.get("jit_compile")
        compile(model, optimizer, **{"run_eagerly": eagerly, **options})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "compile", compile_eagerly)
        yield
