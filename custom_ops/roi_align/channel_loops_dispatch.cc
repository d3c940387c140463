// Chooses among the copies of channel_loops.cc.
#include "../common/isa.h"
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

template <>
const ChannelLoops<float>& BestChannelLoops<float>() {
  return *MRCNN_KERAS_CHOOSE(kFloat);
}
template <>
const ChannelLoops<BFloat16>& BestChannelLoops<BFloat16>() {
  return *MRCNN_KERAS_CHOOSE(kBFloat16);
}
template <>
const ChannelLoops<Half>& BestChannelLoops<Half>() {
  return *MRCNN_KERAS_CHOOSE(kHalf);
}

}  // namespace mrcnn_keras
