// See channel_loops.h. MRCNN_KERAS_ISA names the instruction set this copy is compiled for. Everything is in an unnamed
// namespace and nothing of the standard library is instantiated: a function that the linker shared with the rest of the
// program might otherwise be the copy that this processor cannot run.
#include "channel_loops.h"

#include <string.h>

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace mrcnn_keras {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
constexpr int kUnroll = 4;

typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef uint32_t Bits __attribute__((vector_size(kLanes * 4)));
typedef int32_t Ints __attribute__((vector_size(kLanes * 4)));
typedef uint16_t Shorts __attribute__((vector_size(kLanes * 2)));

template <typename To, typename From>
inline To BitCast(const From& from) {
  static_assert(sizeof(To) == sizeof(From), "same size");
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

template <typename V, typename P>
inline V LoadRaw(const P* from) {
  V v;
  memcpy(&v, from, sizeof(v));
  return v;
}

inline Vec Broadcast(float value) { return Vec{} + value; }

inline float ToFloat(float value) { return value; }
inline float ToFloat(BFloat16 value) { return BitCast<float>(static_cast<uint32_t>(value.bits) << 16); }
inline float ToFloat(Half value) {
  const uint32_t magnitude = value.bits & 0x7fffu;
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000u) << 16;
  uint32_t bits;
  if (magnitude >= 0x7c00u) {
    bits = 0x7f800000u | (magnitude << 13);
  } else if (magnitude >= 0x0400u) {
    bits = (magnitude << 13) + (112u << 23);
  } else {  // subnormal: a whole number of 2^-24
    bits = BitCast<uint32_t>(static_cast<float>(magnitude) * 5.9604644775390625e-8f);
  }
  return BitCast<float>(bits | sign);
}

inline void FromFloat(float value, float* out) { *out = value; }
inline void FromFloat(float value, BFloat16* out) {
  const uint32_t bits = BitCast<uint32_t>(value);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  out->bits = nan ? static_cast<uint16_t>((bits >> 16) | 0x40u)
                  : static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
inline void FromFloat(float value, Half* out) {
  const uint32_t bits = BitCast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;
  } else if (magnitude >= 0x477ff000u) {  // rounds to 65536 or more
    half = 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // subnormal: adding 0.5 leaves a whole number of 2^-24, rounded to even
    half = BitCast<uint32_t>(BitCast<float>(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    half = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  }
  out->bits = static_cast<uint16_t>(half | sign);
}

inline Vec Load(const float* from) { return LoadRaw<Vec>(from); }
inline Vec Load(const BFloat16* from) {
  return BitCast<Vec>(__builtin_convertvector(LoadRaw<Shorts>(from), Bits) << 16);
}
inline Vec Load(const Half* from) {
#if defined(__AVX512F__)
  return BitCast<Vec>(_mm512_cvtph_ps(LoadRaw<__m256i>(from)));
#elif defined(__AVX2__) && defined(__F16C__)
  return BitCast<Vec>(_mm256_cvtph_ps(LoadRaw<__m128i>(from)));
#else
  Vec v;
  for (int i = 0; i < kLanes; ++i) v[i] = ToFloat(from[i]);
  return v;
#endif
}

inline void Store(const Vec& value, float* to) { memcpy(to, &value, sizeof(value)); }

// bins_out of kUnroll * kLanes, kLanes or one channel at a time.
template <typename T, int N>
inline void GatherBlock(const T* cells, int64_t channels, int count, const float* weights, float* out) {
  Vec total[N] = {};
  for (int i = 0; i < count; ++i, cells += channels) {
    if (weights[i] == 0.0f) continue;
    const Vec weight = Broadcast(weights[i]);
    for (int n = 0; n < N; ++n) total[n] += weight * Load(cells + n * kLanes);
  }
  for (int n = 0; n < N; ++n) Store(total[n], out + n * kLanes);
}

template <typename T>
void GatherRow(const T* row, int64_t channels, const TapsView& taps, float* bins_out) {
  for (int b = 0; b < taps.bins; ++b, bins_out += channels) {
    const T* cells = row + taps.first[b] * channels;
    const int count = taps.end[b] - taps.first[b];
    const float* weights = taps.weights + taps.offset[b];
    int64_t c = 0;
    for (; c + kUnroll * kLanes <= channels; c += kUnroll * kLanes) {
      GatherBlock<T, kUnroll>(cells + c, channels, count, weights, bins_out + c);
    }
    for (; c + kLanes <= channels; c += kLanes) {
      GatherBlock<T, 1>(cells + c, channels, count, weights, bins_out + c);
    }
    for (; c < channels; ++c) {
      float total = 0.0f;
      for (int i = 0; i < count; ++i) total += weights[i] * ToFloat(cells[i * channels + c]);
      bins_out[c] = total;
    }
  }
}

template <int N>
inline void SpreadBlock(const float* values, int64_t channels, int count, const float* weights, float* cells) {
  Vec value[N];
  for (int n = 0; n < N; ++n) value[n] = Load(values + n * kLanes);
  for (int i = 0; i < count; ++i, cells += channels) {
    if (weights[i] == 0.0f) continue;
    const Vec weight = Broadcast(weights[i]);
    for (int n = 0; n < N; ++n) Store(Load(cells + n * kLanes) + weight * value[n], cells + n * kLanes);
  }
}

void SpreadRow(const float* bins_in, int64_t channels, const TapsView& taps, float* row) {
  for (int b = 0; b < taps.bins; ++b, bins_in += channels) {
    float* cells = row + taps.first[b] * channels;
    const int count = taps.end[b] - taps.first[b];
    const float* weights = taps.weights + taps.offset[b];
    int64_t c = 0;
    for (; c + kUnroll * kLanes <= channels; c += kUnroll * kLanes) {
      SpreadBlock<kUnroll>(bins_in + c, channels, count, weights, cells + c);
    }
    for (; c + kLanes <= channels; c += kLanes) SpreadBlock<1>(bins_in + c, channels, count, weights, cells + c);
    for (; c < channels; ++c) {
      for (int i = 0; i < count; ++i) cells[i * channels + c] += weights[i] * bins_in[c];
    }
  }
}

template <typename T>
void Scale(const T* values, float weight, bool add, int64_t count, float* total) {
  const Vec weights = Broadcast(weight);
  int64_t i = 0;
  if (add) {
    for (; i + kLanes <= count; i += kLanes) Store(Load(total + i) + weights * Load(values + i), total + i);
    for (; i < count; ++i) total[i] += weight * ToFloat(values[i]);
  } else {
    for (; i + kLanes <= count; i += kLanes) Store(weights * Load(values + i), total + i);
    for (; i < count; ++i) total[i] = weight * ToFloat(values[i]);
  }
}

template <typename T>
void Convert(const float* values, int64_t count, T* out) {
  for (int64_t i = 0; i < count; ++i) FromFloat(values[i], out + i);
}

// N cells: a bilinear sample of 4, or 1 as it is, which a product with 0 would spoil where its neighbour is infinite.
template <typename T, int N>
void KeepLargest(const T* const cells[N], const float weights[N], int64_t channels, int index, float* best,
                 int* winner) {
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) {
    Vec sample = Load(cells[0] + c);
    if (N > 1) sample *= weights[0];
    for (int i = 1; i < N; ++i) sample += weights[i] * Load(cells[i] + c);
    const Vec old = Load(best + c);
    const Ints larger = sample > old;
    Store(larger ? sample : old, best + c);
    if (winner == nullptr) continue;
    const Ints indices = larger ? Ints{} + index : LoadRaw<Ints>(winner + c);
    memcpy(winner + c, &indices, sizeof(indices));
  }
  for (; c < channels; ++c) {
    float sample = ToFloat(cells[0][c]);
    if (N > 1) sample *= weights[0];
    for (int i = 1; i < N; ++i) sample += weights[i] * ToFloat(cells[i][c]);
    if (!(sample > best[c])) continue;
    best[c] = sample;
    if (winner != nullptr) winner[c] = index;
  }
}

template <typename T>
constexpr ChannelLoops<T> kLoops = {GatherRow<T>, SpreadRow,         Scale<T>,         Scale<float>,
                                   Convert<T>,   KeepLargest<T, 4>, KeepLargest<T, 1>};

}  // namespace

namespace MRCNN_KERAS_ISA {

extern const ChannelLoops<float>* const kFloat;
extern const ChannelLoops<BFloat16>* const kBFloat16;
extern const ChannelLoops<Half>* const kHalf;
const ChannelLoops<float>* const kFloat = &kLoops<float>;
const ChannelLoops<BFloat16>* const kBFloat16 = &kLoops<BFloat16>;
const ChannelLoops<Half>* const kHalf = &kLoops<Half>;

}  // namespace MRCNN_KERAS_ISA
}  // namespace mrcnn_keras
