"""What is read off StableHLO's text, and what is changed in it."""

import pytest

from mrcnn_keras.serving import stablehlo_text

MODULE = """module @m {
  func.func @main(%arg0: tensor<2x3xf32>, %arg1: tensor<bf16>) -> (tensor<2x2xi32>, tensor<2x3xf32>) {
    %c = stablehlo.constant dense<2> : tensor<i32>
    %0 = stablehlo.convert %arg0 : (tensor<2x3xf32>) -> tensor<2x3xi32>
    %1 = stablehlo.slice %0 [0:2, 0:2] : (tensor<2x3xi32>) -> tensor<2x2xi32>
    %2 = stablehlo.set_dimension_size %1, %c, dim = 1 : (tensor<2x2xi32>, tensor<i32>) -> tensor<2x2xi32>
    %3 = stablehlo.add %arg0, %arg0 : tensor<2x3xf32>
    return %2, %3 : tensor<2x2xi32>, tensor<2x3xf32>
  }
}
"""


def test_arguments_and_results():
    arguments, results = stablehlo_text.signature(MODULE)
    assert arguments == [((2, 3), "float32"), ((), "bfloat16")]
    assert results == [((2, 2), "int32"), ((2, 3), "float32")]


def test_operations_are_counted_without_constants():
    found = stablehlo_text.count_operations(MODULE)
    assert found == {"convert": 1, "slice": 1, "set_dimension_size": 1, "add": 1}


def test_a_length_that_a_side_has_already_is_not_set():
    fixed = stablehlo_text.fixed_sizes(MODULE)
    assert "    %2 = stablehlo.reshape %1 : (tensor<2x2xi32>) -> tensor<2x2xi32>\n" in fixed
    assert fixed.replace("reshape %1", "") == MODULE.replace("set_dimension_size %1, %c, dim = 1", "").replace(
        "tensor<2x2xi32>, tensor<i32>) ->", "tensor<2x2xi32>) ->"
    )


@pytest.mark.parametrize(
    "old, new, line",
    [
        ("dense<2>", "dense<1>", "%2 = stablehlo.set_dimension_size"),
        ("%c = stablehlo.constant dense<2>", "%c = stablehlo.get_dimension_size", "%2 = stablehlo.set_dimension_size"),
        ("tensor<2x3xf32>\n", "tensor<?x3xf32>\n", r"%3 = stablehlo.add"),
    ],
)
def test_a_size_that_depends_on_values(old, new, line):
    with pytest.raises(RuntimeError, match=f"size that depends on values.*: {line}"):
        stablehlo_text.fixed_sizes(MODULE.replace(old, new, 1))


def test_calls_out_of_stablehlo_are_named():
    calls = """
    %0 = stablehlo.custom_call @TfHostCallback(%arg0) : (tensor<f32>) -> tensor<f32>
    %1 = "stablehlo.custom_call"(%0) <{call_target_name = "xla.ffi"}> : (tensor<f32>) -> tensor<f32>
"""
    assert stablehlo_text.call_targets(MODULE) == []
    assert stablehlo_text.call_targets(calls) == ["TfHostCallback", "xla.ffi"]
