#include "isa.h"

#include <cstdlib>
#include <cstring>

namespace mrcnn_keras {
namespace {

Isa FindIsa() {
  const char* limit = std::getenv("MRCNN_KERAS_CPU");
  if (limit != nullptr && std::strcmp(limit, "baseline") == 0) return Isa::kBaseline;
#ifdef MRCNN_KERAS_X86
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  const bool lowered = limit != nullptr && std::strcmp(limit, "avx2") == 0;
  if (avx2 && avx512 && !lowered) return Isa::kAvx512;
  if (avx2) return Isa::kAvx2;
#endif
  return Isa::kBaseline;
}

}  // namespace

Isa BestIsa() {
  static const Isa isa = FindIsa();
  return isa;
}

}  // namespace mrcnn_keras
