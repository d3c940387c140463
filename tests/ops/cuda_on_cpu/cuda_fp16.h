// Stands in for CUDA's header: float16, rounded to nearest, halves to even.
#ifndef MRCNN_KERAS_TESTS_CUDA_FP16_H_
#define MRCNN_KERAS_TESTS_CUDA_FP16_H_

#include <math.h>

#include <cstdint>

struct __half {
  uint16_t bits;
};

inline float __half2float(__half value) {
  const int exponent = value.bits >> 10 & 31, fraction = value.bits & 1023;
  float result = exponent == 0 ? ldexpf(static_cast<float>(fraction), -24)
                               : ldexpf(static_cast<float>(1024 + fraction), exponent - 25);
  if (exponent == 31) result = fraction == 0 ? INFINITY : NAN;
  return value.bits >> 15 ? -result : result;
}

inline __half __float2half_rn(float value) {
  const uint16_t sign = signbit(value) ? 0x8000 : 0;
  if (value != value) return {0x7fff};
  const int exponent = value == 0.0f ? -14 : fmax(ilogbf(value), -14);
  // In units of the last place; 2048 of them are the first of the next exponent, which the sum below gets right.
  const int units = static_cast<int>(nearbyintf(ldexpf(fabsf(value), 10 - exponent)));
  const int bits = exponent > 15 ? 31 << 10 : units + ((exponent + 14) << 10);
  return {static_cast<uint16_t>(sign | (bits < 31 << 10 ? bits : 31 << 10))};
}

#endif  // MRCNN_KERAS_TESTS_CUDA_FP16_H_
