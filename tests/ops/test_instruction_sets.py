"""The compiled operations on every kind of processor and with any number of threads."""

import numpy as np
import pytest

from ..processes import arrays_of, finish, start

# Relative tolerance by dtype; that of convolutions is in standard deviations.
ROUNDING = {"float32": 1e-6, "bfloat16": 2**-7, "float16": 2**-10}
CONVOLUTION = 1e-4


@pytest.fixture(scope="module")
def found(compiled_only, tmp_path_factory):
    """The arrays of each run: instruction set, and number of threads."""
    folder = tmp_path_factory.mktemp("found")
    runs = [("baseline", 1), ("avx2", 2), ("", 1), ("", 3)]  # "": the best that the processor has
    module = "tests.ops.instruction_sets_run"
    finish(*[start(module, folder / f"{isa}{n}.npz", n, MRCNN_KERAS_CPU=isa) for isa, n in runs])
    return {(isa, n): arrays_of(folder / f"{isa}{n}.npz") for isa, n in runs}


@pytest.mark.slow
@pytest.mark.parametrize("other", [("avx2", 2), ("", 1)], ids=["avx2", "best"])
def test_same_values_for_any_instruction_set(found, other):
    for name, wanted in found["baseline", 1].items():
        value = found[other][name]
        if name.startswith("conv3x3"):
            np.testing.assert_allclose(value, wanted, rtol=0, atol=CONVOLUTION * (np.std(wanted) + 1e-3))
        else:
            np.testing.assert_allclose(value, wanted, rtol=ROUNDING[name.split()[1]], atol=2e-5, err_msg=name)


@pytest.mark.slow
def test_same_bits_for_any_number_of_threads(found):
    for name, wanted in found["", 1].items():  # threads share the work, not the sums
        np.testing.assert_array_equal(found["", 3][name], wanted, err_msg=name)
