// The kernels of roi_align.cu for the processor. "roi_align_as_cpp.h" is that file without CUDA's own syntax.
#include "roi_align_as_cpp.h"

#include <algorithm>
#include <iterator>

namespace mrcnn_keras {
namespace {

float weights[cuda_on_cpu::kSharedBytes / sizeof(float)];

}  // namespace
}  // namespace mrcnn_keras

namespace cuda_on_cpu {

void ForgetShared() { std::fill(std::begin(mrcnn_keras::weights), std::end(mrcnn_keras::weights), NAN); }

}  // namespace cuda_on_cpu

extern "C" void order_threads(bool backwards) { cuda_on_cpu::backwards = backwards; }
