// The launches of roi_align_cuda.h under names that ctypes finds.
#include <cstddef>

#include "roi_align_cuda.h"

extern "C" {

// Of the structure that a caller in another language fills in.
size_t roi_align_call_size() { return sizeof(mrcnn_keras::CudaCall); }

const char* roi_align_forward(const mrcnn_keras::CudaCall* call, void* pooled, int* winners) {
  return mrcnn_keras::LaunchRoiAlign(*call, pooled, winners);
}

const char* roi_align_backward(const mrcnn_keras::CudaCall* call, const void* upstream, const int* winners,
                               void* const* gradients) {
  return mrcnn_keras::LaunchRoiAlignGrad(*call, upstream, winners, gradients);
}

}  // extern "C"
