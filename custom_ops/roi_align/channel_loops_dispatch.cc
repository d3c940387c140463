// Chooses among the copies of channel_loops.cc. MRCNN_KERAS_X86 is defined where the AVX copies were compiled.
#include <cstdlib>
#include <cstring>

#include "channel_loops.h"

namespace mrcnn_keras {

#define MRCNN_KERAS_DECLARE(isa)                     \
  namespace isa {                                    \
  extern const ChannelLoops<float>* const kFloat;    \
  extern const ChannelLoops<BFloat16>* const kBFloat16; \
  extern const ChannelLoops<Half>* const kHalf;      \
  }
MRCNN_KERAS_DECLARE(baseline)
#ifdef MRCNN_KERAS_X86
MRCNN_KERAS_DECLARE(avx2)
MRCNN_KERAS_DECLARE(avx512)
#endif
#undef MRCNN_KERAS_DECLARE

namespace {

enum class Isa { kBaseline, kAvx2, kAvx512 };

// The environment variable can only lower the choice: it lets the tests reach every copy on one machine.
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

template <typename P>
const P& Choose(const P* baseline, const P* avx2, const P* avx512) {
  static const Isa isa = FindIsa();
  return *(isa == Isa::kAvx512 ? avx512 : isa == Isa::kAvx2 ? avx2 : baseline);
}

}  // namespace

#ifdef MRCNN_KERAS_X86
#define MRCNN_KERAS_CHOOSE(name) Choose(baseline::name, avx2::name, avx512::name)
#else
#define MRCNN_KERAS_CHOOSE(name) Choose(baseline::name, baseline::name, baseline::name)
#endif

template <>
const ChannelLoops<float>& BestChannelLoops<float>() {
  return MRCNN_KERAS_CHOOSE(kFloat);
}
template <>
const ChannelLoops<BFloat16>& BestChannelLoops<BFloat16>() {
  return MRCNN_KERAS_CHOOSE(kBFloat16);
}
template <>
const ChannelLoops<Half>& BestChannelLoops<Half>() {
  return MRCNN_KERAS_CHOOSE(kHalf);
}

}  // namespace mrcnn_keras
