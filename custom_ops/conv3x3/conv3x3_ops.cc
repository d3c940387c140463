// Registration and shape functions of MrcnnKeras>Conv3x3 and the gradient of its filter.
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace mrcnn_keras {
namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

absl::Status Conv3x3Shape(InferenceContext* c) {
  ShapeHandle inputs, filter, bias;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 4, &inputs));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 4, &filter));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(2), 1, &bias));
  bool turned;
  TF_RETURN_IF_ERROR(c->GetAttr("turned", &turned));
  DimensionHandle merged;
  for (int axis = 0; axis < 2; ++axis) TF_RETURN_IF_ERROR(c->WithValue(c->Dim(filter, axis), 3, &merged));
  TF_RETURN_IF_ERROR(c->Merge(c->Dim(inputs, 3), c->Dim(filter, turned ? 3 : 2), &merged));
  TF_RETURN_IF_ERROR(c->Merge(c->Dim(bias, 0), c->Dim(filter, turned ? 2 : 3), &merged));
  TF_RETURN_IF_ERROR(c->ReplaceDim(inputs, 3, merged, &inputs));
  c->set_output(0, inputs);
  return absl::OkStatus();
}

absl::Status Conv3x3FilterGradShape(InferenceContext* c) {
  ShapeHandle inputs, gradient;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 4, &inputs));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 4, &gradient));
  DimensionHandle merged;
  for (int axis = 0; axis < 3; ++axis) {
    TF_RETURN_IF_ERROR(c->Merge(c->Dim(inputs, axis), c->Dim(gradient, axis), &merged));
  }
  c->set_output(0, c->MakeShape({3, 3, c->Dim(inputs, 3), c->Dim(gradient, 3)}));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("MrcnnKeras>Conv3x3")
    .Input("inputs: float")
    .Input("filter: float")
    .Input("bias: float")
    .Output("outputs: float")
    .Attr("relu: bool = false")
    .Attr("turned: bool = false")
    .SetShapeFn(Conv3x3Shape)
    .Doc("3x3 convolution, stride 1, zero padding to the same size; see mrcnn_keras.ops.conv3x3. turned: with the filter "
        "of the convolution whose gradient the inputs are.");

REGISTER_OP("MrcnnKeras>Conv3x3FilterGrad")
    .Input("inputs: float")
    .Input("gradient: float")
    .Output("filter_gradient: float")
    .SetShapeFn(Conv3x3FilterGradShape)
    .Doc("Gradient of Conv3x3 with respect to its filter; the same bits in every run.");

}  // namespace mrcnn_keras
