// GPU kernels: TensorFlow's side of roi_align.cu. Compiled with -DGOOGLE_CUDA=1 where nvcc is there.
#define EIGEN_USE_GPU
#include <vector>

#include "op_inputs.h"
#include "roi_align_cuda.h"
#include "tensorflow/core/framework/bfloat16.h"
#include "unsupported/Eigen/CXX11/Tensor"

namespace mrcnn_keras {
namespace {

using tensorflow::OpKernelContext;
using tensorflow::Tensor;

CudaType TypeOf(tensorflow::DataType type) {
  if (type == tensorflow::DT_BFLOAT16) return CudaType::kBFloat16;
  return type == tensorflow::DT_HALF ? CudaType::kHalf : CudaType::kFloat;
}

absl::Status MakeCall(OpKernelContext* context, const Inputs& inputs, const Attributes& attributes,
                      const std::vector<float>& scales, CudaCall* call) {
  if (inputs.maps.size() > kMaxCudaLevels) {
    return absl::InvalidArgumentError(absl::StrCat("RoiAlign: at most ", kMaxCudaLevels,
                                                   " feature maps on a GPU, got ", inputs.maps.size()));
  }
  *call = CudaCall();
  call->stream = context->eigen_device<Eigen::GpuDevice>().stream();
  call->type = TypeOf(inputs.maps[0].dtype());
  call->attributes = attributes;
  call->num_levels = static_cast<int>(inputs.maps.size());
  for (int i = 0; i < call->num_levels; ++i) {
    call->heights[i] = static_cast<int>(inputs.maps[i].dim_size(1));
    call->widths[i] = static_cast<int>(inputs.maps[i].dim_size(2));
    call->scales[i] = scales[i];
    call->maps[i] = inputs.maps[i].data();
  }
  call->batch = inputs.batch;
  call->channels = inputs.channels;
  call->num_rois = inputs.num_rois;
  call->boxes = inputs.boxes.flat<float>().data();
  call->image_index = inputs.image_index.flat<int>().data();
  call->level = inputs.level.flat<int>().data();
  return absl::OkStatus();
}

absl::Status Launched(const char* error) {
  if (error == nullptr) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("RoiAlign: the CUDA kernel did not start: ", error,
                                          "; MRCNN_KERAS_ROI_ALIGN=tensorflow does without it"));
}

class RoiAlignGpu : public RoiAlignBase {
 public:
  using RoiAlignBase::RoiAlignBase;

  void Compute(OpKernelContext* context) override {
    Inputs inputs;
    Tensor* output;
    OP_REQUIRES_OK(context, OpenForward(context, attributes_, &inputs, &output));
    if (output->NumElements() == 0) return;
    CudaCall call;
    OP_REQUIRES_OK(context, MakeCall(context, inputs, attributes_, scales_, &call));
    OP_REQUIRES_OK(context, Launched(LaunchRoiAlign(call, output->data(), nullptr)));
  }
};

class RoiAlignGradGpu : public RoiAlignBase {
 public:
  using RoiAlignBase::RoiAlignBase;

  void Compute(OpKernelContext* context) override {
    Inputs inputs;
    const Tensor* upstream;
    std::vector<Tensor*> outputs;
    OP_REQUIRES_OK(context, OpenGradient(context, attributes_, &inputs, &upstream, &outputs));
    if (inputs.channels == 0 || inputs.batch == 0) return;
    CudaCall call;
    OP_REQUIRES_OK(context, MakeCall(context, inputs, attributes_, scales_, &call));
    Tensor winners;
    int* winner = nullptr;
    if (attributes_.largest && inputs.num_rois > 0) {
      OP_REQUIRES_OK(context, context->allocate_temp(tensorflow::DT_INT32, upstream->shape(), &winners));
      winner = winners.flat<int>().data();
      OP_REQUIRES_OK(context, Launched(LaunchRoiAlign(call, nullptr, winner)));
    }
    std::vector<void*> gradients;
    for (Tensor* output : outputs) gradients.push_back(output->data());
    OP_REQUIRES_OK(context, Launched(LaunchRoiAlignGrad(call, upstream->data(), winner, gradients.data())));
  }
};

#define MRCNN_KERAS_REGISTER(T)                                                                                     \
  REGISTER_KERNEL_BUILDER(                                                                                          \
      Name("MrcnnKeras>RoiAlign").Device(tensorflow::DEVICE_GPU).TypeConstraint<T>("T"), RoiAlignGpu);              \
  REGISTER_KERNEL_BUILDER(                                                                                          \
      Name("MrcnnKeras>RoiAlignGrad").Device(tensorflow::DEVICE_GPU).TypeConstraint<T>("T"), RoiAlignGradGpu);
MRCNN_KERAS_REGISTER(float)
MRCNN_KERAS_REGISTER(tensorflow::bfloat16)
MRCNN_KERAS_REGISTER(Eigen::half)
#undef MRCNN_KERAS_REGISTER

}  // namespace
}  // namespace mrcnn_keras
