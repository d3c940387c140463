// What the CPU and GPU kernels share: attributes and inputs of both operations, read and checked.
#ifndef MRCNN_KERAS_ROI_ALIGN_OP_INPUTS_H_
#define MRCNN_KERAS_ROI_ALIGN_OP_INPUTS_H_

#include <string>
#include <vector>

#include "sampling.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace mrcnn_keras {

// Attributes of both operations.
class RoiAlignBase : public tensorflow::OpKernel {
 public:
  explicit RoiAlignBase(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("scales", &scales_));
    OP_REQUIRES_OK(context, context->GetAttr("output_height", &attributes_.output_height));
    OP_REQUIRES_OK(context, context->GetAttr("output_width", &attributes_.output_width));
    OP_REQUIRES_OK(context, context->GetAttr("sampling_ratio", &attributes_.sampling_ratio));
    OP_REQUIRES_OK(context, context->GetAttr("aligned", &attributes_.aligned));
    std::string reduce;
    OP_REQUIRES_OK(context, context->GetAttr("reduce", &reduce));
    std::string method;
    OP_REQUIRES_OK(context, context->GetAttr("method", &method));
    attributes_.method = method == "pool" ? Method::kPool : method == "warp" ? Method::kWarp : Method::kAlign;
    attributes_.largest = reduce == "max" || attributes_.method == Method::kPool;
    int num_maps;
    OP_REQUIRES_OK(context, context->GetAttr("N", &num_maps));
    OP_REQUIRES(context, static_cast<int>(scales_.size()) == num_maps,
                absl::InvalidArgumentError(absl::StrCat("RoiAlign: scales must have one number for each of the ",
                                                        num_maps, " feature maps, got ", scales_.size())));
  }

 protected:
  std::vector<float> scales_;
  Attributes attributes_;
};

// The tensors of one call; shapes are checked, values are not.
struct Inputs {
  std::vector<tensorflow::Tensor> maps;
  tensorflow::Tensor boxes;
  tensorflow::Tensor image_index;
  tensorflow::Tensor level;
  int64_t batch = 0;
  int64_t channels = 0;
  int64_t num_rois = 0;
};

inline absl::Status ReadInputs(tensorflow::OpKernelContext* context, Inputs* inputs) {
  tensorflow::OpInputList maps;
  TF_RETURN_IF_ERROR(context->input_list("feature_maps", &maps));
  const tensorflow::Tensor* tensor;
  TF_RETURN_IF_ERROR(context->input("boxes", &tensor));
  inputs->boxes = *tensor;
  TF_RETURN_IF_ERROR(context->input("image_index", &tensor));
  inputs->image_index = *tensor;
  TF_RETURN_IF_ERROR(context->input("level", &tensor));
  inputs->level = *tensor;
  for (int i = 0; i < maps.size(); ++i) {
    const tensorflow::TensorShape& shape = maps[i].shape();
    const auto got = [&](const char* expected) {
      return absl::InvalidArgumentError(
          absl::StrCat("RoiAlign: feature map ", i, " must ", expected, ", got shape ", shape.DebugString(),
                       i > 0 ? absl::StrCat(" and ", maps[0].shape().DebugString()) : ""));
    };
    if (shape.dims() != 4) return got("be (batch, height, width, channels)");
    if (shape.dim_size(0) != maps[0].dim_size(0)) return got("have the batch size of map 0");
    if (shape.dim_size(3) != maps[0].dim_size(3)) return got("have the channels of map 0");
    if (shape.dim_size(0) * shape.dim_size(1) * shape.dim_size(2) > 0x7fffffff) return got("have fewer cells");
    if (shape.dim_size(1) == 0 || shape.dim_size(2) == 0) return got("have cells");
    inputs->maps.push_back(maps[i]);
  }
  inputs->batch = maps[0].dim_size(0);
  inputs->channels = maps[0].dim_size(3);
  if (inputs->boxes.dims() != 2 || inputs->boxes.dim_size(1) != 4) {
    return absl::InvalidArgumentError(
        absl::StrCat("RoiAlign: boxes must be (R, 4), got shape ", inputs->boxes.shape().DebugString()));
  }
  inputs->num_rois = inputs->boxes.dim_size(0);
  const auto check_index = [&](const char* name, const tensorflow::Tensor& index) {
    if (index.dims() == 1 && index.dim_size(0) == inputs->num_rois) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("RoiAlign: ", name, " must be (R,) with R = ", inputs->num_rois,
                                                   " boxes, got shape ", index.shape().DebugString()));
  };
  TF_RETURN_IF_ERROR(check_index("image_index", inputs->image_index));
  return check_index("level", inputs->level);
}

inline tensorflow::TensorShape PooledShape(const Inputs& inputs, const Attributes& attributes) {
  return {inputs.num_rois, attributes.output_height, attributes.output_width, inputs.channels};
}

// Inputs of RoiAlign, and its output, not yet filled.
inline absl::Status OpenForward(tensorflow::OpKernelContext* context, const Attributes& attributes, Inputs* inputs,
                                tensorflow::Tensor** pooled) {
  TF_RETURN_IF_ERROR(ReadInputs(context, inputs));
  return context->allocate_output(0, PooledShape(*inputs, attributes), pooled);
}

// Inputs of RoiAlignGrad with the gradient that comes from above, and the gradients of the maps, not yet filled.
inline absl::Status OpenGradient(tensorflow::OpKernelContext* context, const Attributes& attributes, Inputs* inputs,
                                 const tensorflow::Tensor** upstream, std::vector<tensorflow::Tensor*>* gradients) {
  TF_RETURN_IF_ERROR(ReadInputs(context, inputs));
  TF_RETURN_IF_ERROR(context->input("gradient", upstream));
  const tensorflow::TensorShape expected = PooledShape(*inputs, attributes);
  if ((*upstream)->shape() != expected) {
    return absl::InvalidArgumentError(absl::StrCat("RoiAlignGrad: gradient must have shape ", expected.DebugString(),
                                                   ", got ", (*upstream)->shape().DebugString()));
  }
  gradients->resize(inputs->maps.size());
  for (size_t i = 0; i < gradients->size(); ++i) {
    TF_RETURN_IF_ERROR(context->allocate_output(i, inputs->maps[i].shape(), &(*gradients)[i]));
  }
  return absl::OkStatus();
}

}  // namespace mrcnn_keras

#endif  // MRCNN_KERAS_ROI_ALIGN_OP_INPUTS_H_
