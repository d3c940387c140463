"""Fixtures shared by all tests."""

import os
import pathlib

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_dir() -> pathlib.Path:
    """Folder of reference cases and photos; tests that need it are skipped where it is absent."""
    folder = pathlib.Path(os.environ.get("MRCNN_TEST_DATA", ROOT.parent / "shared"))
    if not (folder / "parity").is_dir():
        pytest.skip(f"no test data at {folder}; set MRCNN_TEST_DATA")
    return folder
