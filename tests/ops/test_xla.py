"""RoIAlign, RoIWarp and RoIPool where XLA compiles them."""

import numpy as np
import pytest

from ..processes import arrays_of, finish, start


@pytest.mark.slow
def test_values_and_gradients_are_those_without_xla(tmp_path):
    finish(start("tests.ops.xla_run", tmp_path / "found.npz"))
    found = arrays_of(tmp_path / "found.npz")
    for name in ("RoIAlign", "RoIAlign, largest", "RoIPool", "RoIWarp"):
        for number in range(6):  # the features, and the gradients of five maps
            xla, plain = found[f"{name} xla {number}"], found[f"{name} plain {number}"]
            assert xla.any()
            np.testing.assert_allclose(xla, plain, rtol=1e-5, atol=1e-5, err_msg=name)
    # XLA does not have crop_and_resize: the fallback stands in for it.
    np.testing.assert_allclose(found["cropped xla 0"], found["cropped plain 0"], atol=5e-5)
