"""The reference cases, one fixture a folder."""

import importlib.util
import pathlib

import pytest

_spec = importlib.util.spec_from_file_location("parity_compare", pathlib.Path(__file__).parent / "compare.py")
compare = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(compare)


@pytest.fixture(scope="session")
def parity(shared_dir):
    """The module `compare`, and the folder of the cases."""
    return compare, shared_dir / "parity"
