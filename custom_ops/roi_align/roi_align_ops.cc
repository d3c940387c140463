// Registration and shape functions of MrcnnKeras>RoiAlign and its gradient.
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

// What the library was built for; mrcnn_keras/ops/build.py reads it from the file before loading it.
extern "C" __attribute__((visibility("default"), used)) const char mrcnn_keras_stamp[] = MRCNN_KERAS_STAMP;

namespace mrcnn_keras {
namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// Inputs from `first_map` on: maps, boxes, image_index, level. Finds the number of channels and of RoIs.
absl::Status CheckInputs(InferenceContext* c, int first_map, int num_maps, DimensionHandle* channels,
                         DimensionHandle* num_rois) {
  DimensionHandle batch = c->UnknownDim();
  *channels = c->UnknownDim();
  ShapeHandle shape;
  for (int i = first_map; i < first_map + num_maps; ++i) {
    TF_RETURN_IF_ERROR(c->WithRank(c->input(i), 4, &shape));
    TF_RETURN_IF_ERROR(c->Merge(batch, c->Dim(shape, 0), &batch));
    TF_RETURN_IF_ERROR(c->Merge(*channels, c->Dim(shape, 3), channels));
  }
  const int boxes = first_map + num_maps;
  DimensionHandle four;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(boxes), 2, &shape));
  TF_RETURN_IF_ERROR(c->WithValue(c->Dim(shape, 1), 4, &four));
  *num_rois = c->Dim(shape, 0);
  for (int i = boxes + 1; i <= boxes + 2; ++i) {
    TF_RETURN_IF_ERROR(c->WithRank(c->input(i), 1, &shape));
    TF_RETURN_IF_ERROR(c->Merge(*num_rois, c->Dim(shape, 0), num_rois));
  }
  return absl::OkStatus();
}

absl::Status RoiAlignShape(InferenceContext* c) {
  int num_maps, height, width;
  TF_RETURN_IF_ERROR(c->GetAttr("N", &num_maps));
  TF_RETURN_IF_ERROR(c->GetAttr("output_height", &height));
  TF_RETURN_IF_ERROR(c->GetAttr("output_width", &width));
  DimensionHandle channels, num_rois;
  TF_RETURN_IF_ERROR(CheckInputs(c, 0, num_maps, &channels, &num_rois));
  c->set_output(0, c->MakeShape({num_rois, c->MakeDim(height), c->MakeDim(width), channels}));
  return absl::OkStatus();
}

absl::Status RoiAlignGradShape(InferenceContext* c) {
  int num_maps;
  TF_RETURN_IF_ERROR(c->GetAttr("N", &num_maps));
  ShapeHandle upstream;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 4, &upstream));
  DimensionHandle channels, num_rois, merged;
  TF_RETURN_IF_ERROR(CheckInputs(c, 1, num_maps, &channels, &num_rois));
  TF_RETURN_IF_ERROR(c->Merge(num_rois, c->Dim(upstream, 0), &merged));
  TF_RETURN_IF_ERROR(c->Merge(channels, c->Dim(upstream, 3), &merged));
  for (int i = 0; i < num_maps; ++i) c->set_output(i, c->input(1 + i));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("MrcnnKeras>RoiAlign")
    .Input("feature_maps: N * T")
    .Input("boxes: float")
    .Input("image_index: int32")
    .Input("level: int32")
    .Output("pooled: T")
    .Attr("N: int >= 1")
    .Attr("T: {float, bfloat16, half}")
    .Attr("scales: list(float)")
    .Attr("output_height: int >= 1")
    .Attr("output_width: int >= 1")
    .Attr("sampling_ratio: int >= 0 = 0")
    .Attr("aligned: bool = true")
    .Attr("reduce: {'average', 'max'} = 'average'")
    .Attr("method: {'align', 'warp', 'pool'} = 'align'")
    .SetShapeFn(RoiAlignShape)
    .Doc("RoIAlign, RoIWarp or RoIPool over a feature pyramid; see mrcnn_keras.ops.multilevel_roi_align.");

REGISTER_OP("MrcnnKeras>RoiAlignGrad")
    .Input("gradient: T")
    .Input("feature_maps: N * T")
    .Input("boxes: float")
    .Input("image_index: int32")
    .Input("level: int32")
    .Output("map_gradients: N * T")
    .Attr("N: int >= 1")
    .Attr("T: {float, bfloat16, half}")
    .Attr("scales: list(float)")
    .Attr("output_height: int >= 1")
    .Attr("output_width: int >= 1")
    .Attr("sampling_ratio: int >= 0 = 0")
    .Attr("aligned: bool = true")
    .Attr("reduce: {'average', 'max'} = 'average'")
    .Attr("method: {'align', 'warp', 'pool'} = 'align'")
    .SetShapeFn(RoiAlignGradShape)
    .Doc("Gradient of RoiAlign with respect to the feature maps; the same bits in every run.");

}  // namespace mrcnn_keras
