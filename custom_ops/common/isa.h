// The instruction set of this processor: loops are compiled once for each, and the best one is taken at run time.
#ifndef MRCNN_KERAS_COMMON_ISA_H_
#define MRCNN_KERAS_COMMON_ISA_H_

namespace mrcnn_keras {

enum class Isa { kBaseline, kAvx2, kAvx512 };

// MRCNN_KERAS_CPU=baseline or avx2 in the environment lowers the choice: with it the tests reach every copy.
Isa BestIsa();

}  // namespace mrcnn_keras

// The copy of `name` for this processor; MRCNN_KERAS_X86 is defined where the AVX copies were compiled.
#ifdef MRCNN_KERAS_X86
#define MRCNN_KERAS_CHOOSE(name)                                  \
  (::mrcnn_keras::BestIsa() == ::mrcnn_keras::Isa::kAvx512 ? avx512::name \
   : ::mrcnn_keras::BestIsa() == ::mrcnn_keras::Isa::kAvx2 ? avx2::name   \
                                                           : baseline::name)
#else
#define MRCNN_KERAS_CHOOSE(name) (baseline::name)
#endif

#endif  // MRCNN_KERAS_COMMON_ISA_H_
