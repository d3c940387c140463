// CPU kernels: shares the tiles of tile_loops.h among TensorFlow's threads.
#include <algorithm>
#include <functional>

#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/lib/core/threadpool.h"
#include "tiles.h"
#include "workspace.h"

namespace mrcnn_keras {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

constexpr int64_t kPadding = 32;  // floats between planes, which would else fall on the same lines of the cache

int NumThreads(OpKernelContext* context) {
  return context->device()->tensorflow_cpu_worker_threads()->num_threads;
}

// One unit of `work` at a time, since each is long.
void ForEach(OpKernelContext* context, int64_t total, const std::function<void(int64_t)>& work) {
  constexpr int64_t kCost = 1000000;
  context->device()->tensorflow_cpu_worker_threads()->workers->ParallelFor(
      total, kCost, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) work(i);
      });
}

absl::Status CheckChannels(const char* name, int64_t channels) {
  if (channels > 0 && channels % kGroup == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("Conv3x3: ", name, " must be a multiple of ", kGroup, ", got ", channels));
}

absl::Status NoMemory(int64_t count) {
  return absl::ResourceExhaustedError(absl::StrCat("Conv3x3: no memory for ", count, " numbers"));
}

TileGrid GridOf(const Tensor& map) {
  return TileGrid(map.dim_size(0), map.dim_size(1), map.dim_size(2));
}

class Conv3x3Cpu : public OpKernel {
 public:
  explicit Conv3x3Cpu(OpKernelConstruction* context) : OpKernel(context), loops_(BestTileLoops()) {
    OP_REQUIRES_OK(context, context->GetAttr("relu", &relu_));
    OP_REQUIRES_OK(context, context->GetAttr("turned", &turned_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& inputs = context->input(0);
    const Tensor& filter = context->input(1);
    const Tensor& bias = context->input(2);
    OP_REQUIRES_OK(context, Check(inputs, filter, bias));
    const int64_t outputs = filter.dim_size(turned_ ? 2 : 3);
    TensorShape shape = inputs.shape();
    shape.set_dim(3, outputs);
    Tensor* result;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &result));
    if (shape.num_elements() == 0) return;
    Call call{GridOf(inputs), inputs.dim_size(3), outputs};
    call.num_panels = (outputs + loops_.panel - 1) / loops_.panel;
    call.panel_plane = call.depth * call.num_panels * loops_.panel + kPadding;
    const Workspace panels(kPlanes * call.panel_plane);
    OP_REQUIRES(context, panels.data() != nullptr, NoMemory(kPlanes * call.panel_plane));
    PreparePanels(context, call, filter, panels.data());
    Convolve(context, call, inputs.flat<float>().data(), panels.data(), bias.flat<float>().data(),
             result->flat<float>().data());
  }

 private:
  struct Call {
    TileGrid grid;
    int64_t depth;
    int64_t outputs;
    int64_t num_panels = 0;
    int64_t panel_plane = 0;
  };

  absl::Status Check(const Tensor& inputs, const Tensor& filter, const Tensor& bias) const {
    const auto bad = [&](const char* expected) {
      return absl::InvalidArgumentError(absl::StrCat("Conv3x3: expected ", expected, ", got inputs ",
                                                     inputs.shape().DebugString(), ", filter ",
                                                     filter.shape().DebugString(), ", bias ",
                                                     bias.shape().DebugString()));
    };
    if (inputs.dims() != 4) return bad("inputs (batch, height, width, channels)");
    if (filter.dims() != 4 || filter.dim_size(0) != 3 || filter.dim_size(1) != 3) return bad("a 3x3 filter");
    if (filter.dim_size(turned_ ? 3 : 2) != inputs.dim_size(3)) return bad("a filter with the channels of the inputs");
    if (bias.dims() != 1 || bias.dim_size(0) != filter.dim_size(turned_ ? 2 : 3)) return bad("a bias for each output channel");
    TF_RETURN_IF_ERROR(CheckChannels("the number of input channels", filter.dim_size(2)));
    return CheckChannels("the number of output channels", filter.dim_size(3));
  }

  void PreparePanels(OpKernelContext* context, const Call& call, const Tensor& filter, float* panels) const {
    const auto transform = turned_ ? loops_.transform_turned_filter : loops_.transform_filter;
    const float* const taps = filter.flat<float>().data();
    if (call.num_panels * loops_.panel > call.outputs) {  // the last panel is not full
      for (int i = 0; i < kPlanes; ++i) {
        std::fill_n(panels + i * call.panel_plane + call.depth * (call.num_panels - 1) * loops_.panel,
                    call.depth * loops_.panel, 0.0f);
      }
    }
    ForEach(context, call.depth / kGroup, [&](int64_t i) {
      transform(taps, call.depth, call.outputs, i * kGroup, (i + 1) * kGroup, call.panel_plane, panels);
    });
  }

  void Convolve(OpKernelContext* context, const Call& call, const float* inputs, const float* panels,
                const float* bias, float* outputs) const {
    const int64_t width = call.num_panels * loops_.panel;
    const int64_t tiles = call.grid.size();
    const int64_t threads = NumThreads(context);
    int64_t blocks = (tiles + loops_.rows * 8 - 1) / (loops_.rows * 8);
    blocks = std::min(tiles, (blocks + threads - 1) / threads * threads);
    const int64_t largest = (tiles + blocks - 1) / blocks;
    const Placing placing{largest * call.depth + kPadding, call.depth, 0};
    const int64_t product_plane = largest * width + kPadding;
    ForEach(context, blocks, [&](int64_t block) {
      const Workspace space(kPlanes * (placing.plane_stride + product_plane) + call.depth);
      if (space.data() == nullptr) {
        context->SetStatus(NoMemory(kPlanes * (placing.plane_stride + product_plane)));
        return;
      }
      float* const transformed = space.data();
      float* const products = transformed + kPlanes * placing.plane_stride;
      const float* const zeros = std::fill_n(products + kPlanes * product_plane, call.depth, 0.0f) - call.depth;
      const int64_t begin = tiles * block / blocks, end = tiles * (block + 1) / blocks;
      for (int64_t t = begin; t < end; ++t) {
        const float* cells[kPlanes];
        call.grid.InputCells(t, inputs, call.depth, zeros, cells);
        loops_.transform_input(cells, call.depth, placing, transformed + (t - begin) * call.depth);
      }
      for (int i = 0; i < kPlanes; ++i) {
        loops_.multiply(transformed + i * placing.plane_stride, end - begin, call.depth, panels + i * call.panel_plane,
                        call.num_panels, products + i * product_plane);
      }
      for (int64_t t = begin; t < end; ++t) {
        float* cells[kOutputs];
        call.grid.OutputCells(t, outputs, call.outputs, static_cast<float*>(nullptr), cells);
        loops_.transform_output(products + (t - begin) * width, product_plane, call.outputs, bias, relu_, cells);
      }
    });
  }

  const TileLoops& loops_;
  bool relu_;
  bool turned_;
};

class Conv3x3FilterGradCpu : public OpKernel {
 public:
  explicit Conv3x3FilterGradCpu(OpKernelConstruction* context) : OpKernel(context), loops_(BestTileLoops()) {}

  void Compute(OpKernelContext* context) override {
    const Tensor& inputs = context->input(0);
    const Tensor& upstream = context->input(1);
    OP_REQUIRES(context, inputs.dims() == 4 && upstream.dims() == 4,
                absl::InvalidArgumentError("Conv3x3FilterGrad: inputs and gradient must have rank 4"));
    for (int axis = 0; axis < 3; ++axis) {
      OP_REQUIRES(context, inputs.dim_size(axis) == upstream.dim_size(axis),
                  absl::InvalidArgumentError(absl::StrCat(
                      "Conv3x3FilterGrad: gradient must have the size of the inputs, got ",
                      upstream.shape().DebugString(), " and ", inputs.shape().DebugString())));
    }
    const int64_t depth = inputs.dim_size(3), outputs = upstream.dim_size(3);
    OP_REQUIRES_OK(context, CheckChannels("the number of input channels", depth));
    OP_REQUIRES_OK(context, CheckChannels("the number of output channels", outputs));
    Tensor* result;
    OP_REQUIRES_OK(context, context->allocate_output(0, {3, 3, depth, outputs}, &result));
    const Workspace sums(kPlanes * depth * outputs);
    OP_REQUIRES(context, sums.data() != nullptr, NoMemory(kPlanes * depth * outputs));
    ForEach(context, kPlanes, [&](int64_t i) { std::fill_n(sums.data() + i * depth * outputs, depth * outputs, 0.0f); });
    OP_REQUIRES_OK(context, Sum(context, inputs, upstream, sums.data()));
    ForEach(context, depth / kGroup, [&](int64_t i) {
      loops_.transform_sums(sums.data(), depth, outputs, i * kGroup, (i + 1) * kGroup, result->flat<float>().data());
    });
  }

 private:
  // Chunk after chunk of tiles: all are transformed, then each thread adds up planes of its own. The order in which
  // numbers are added does not depend on the number of threads.
  absl::Status Sum(OpKernelContext* context, const Tensor& inputs, const Tensor& upstream, float* sums) const {
    constexpr int64_t kBudget = int64_t{40} << 20;  // bytes of transformed tiles
    constexpr int64_t kSmallest = 64, kLargest = 512, kStep = 8;
    const TileGrid grid = GridOf(inputs);
    const int64_t depth = inputs.dim_size(3), outputs = upstream.dim_size(3);
    const int64_t fitting = kBudget / static_cast<int64_t>(kPlanes * (depth + outputs) * sizeof(float));
    const int64_t chunk = std::min(grid.size(), std::clamp(fitting, kSmallest, kLargest));
    const int64_t input_plane = chunk * depth + kPadding, gradient_plane = chunk * outputs + kPadding;
    const Workspace space(kPlanes * (input_plane + gradient_plane) + std::max(depth, outputs));
    if (space.data() == nullptr) return NoMemory(kPlanes * (input_plane + gradient_plane));
    float* const transformed = space.data();
    float* const gradients = transformed + kPlanes * input_plane;
    const int64_t widest = std::max(depth, outputs);
    const float* const zeros = std::fill_n(gradients + kPlanes * gradient_plane, widest, 0.0f) - widest;
    for (int64_t begin = 0; begin < grid.size(); begin += chunk) {
      const int64_t count = std::min(chunk, grid.size() - begin);
      const Placing input_placing{input_plane, kGroup, count * kGroup};
      const Placing gradient_placing{gradient_plane, kGroup, count * kGroup};
      ForEach(context, (count + kStep - 1) / kStep, [&](int64_t i) {
        for (int64_t t = i * kStep; t < std::min((i + 1) * kStep, count); ++t) {
          const float* cells[kPlanes];
          grid.InputCells(begin + t, inputs.flat<float>().data(), depth, zeros, cells);
          loops_.transform_input(cells, depth, input_placing, transformed + t * kGroup);
          grid.OutputCells(begin + t, upstream.flat<float>().data(), outputs, zeros, cells);
          loops_.transform_gradient(cells, outputs, gradient_placing, gradients + t * kGroup);
        }
      });
      ForEach(context, kPlanes, [&](int64_t i) {
        loops_.accumulate(transformed + i * input_plane, gradients + i * gradient_plane, count, outputs, 0, depth,
                          sums + i * depth * outputs);
      });
    }
    return absl::OkStatus();
  }

  const TileLoops& loops_;
};

REGISTER_KERNEL_BUILDER(Name("MrcnnKeras>Conv3x3").Device(tensorflow::DEVICE_CPU), Conv3x3Cpu);
REGISTER_KERNEL_BUILDER(Name("MrcnnKeras>Conv3x3FilterGrad").Device(tensorflow::DEVICE_CPU), Conv3x3FilterGradCpu);

}  // namespace
}  // namespace mrcnn_keras
