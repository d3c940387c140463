// Launches of the CUDA kernels in roi_align.cu. Free of TensorFlow headers, as nvcc does not get along with them.
#ifndef MRCNN_KERAS_ROI_ALIGN_ROI_ALIGN_CUDA_H_
#define MRCNN_KERAS_ROI_ALIGN_ROI_ALIGN_CUDA_H_

#include <cstdint>

#include "sampling.h"

namespace mrcnn_keras {

constexpr int kMaxCudaLevels = 16;

enum class CudaType { kFloat, kBFloat16, kHalf };

// One call: device pointers, and sizes on the host. The values of image_index, level and boxes cannot be checked here
// without waiting for the device: a bad RoI gives NaN, and its gradient is left out.
struct CudaCall {
  void* stream;
  CudaType type;
  Attributes attributes;
  int num_levels;
  int heights[kMaxCudaLevels];
  int widths[kMaxCudaLevels];
  float scales[kMaxCudaLevels];
  const void* maps[kMaxCudaLevels];  // (batch, height, width, channels)
  int64_t batch;
  int64_t channels;
  int64_t num_rois;
  const float* boxes;  // (num_rois, 4)
  const int* image_index;
  const int* level;
};

// Both return null, or what went wrong.
// pooled: (num_rois, P, P, channels), may be null; winners: the same shape, or null; see cpu_pool.h.
const char* LaunchRoiAlign(const CudaCall& call, void* pooled, int* winners);
// gradients: one for each map, written in full. Every cell is the work of one thread, which takes the RoIs in order: no
// atomic additions, and the same bits in every run. `winners`, for the maximum, comes from LaunchRoiAlign.
const char* LaunchRoiAlignGrad(const CudaCall& call, const void* upstream, const int* winners, void* const* gradients);

}  // namespace mrcnn_keras

#endif  // MRCNN_KERAS_ROI_ALIGN_ROI_ALIGN_CUDA_H_
