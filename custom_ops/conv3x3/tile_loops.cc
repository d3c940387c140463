// See tile_loops.h. MRCNN_KERAS_ISA names the instruction set this copy is compiled for. Everything is in an unnamed
// namespace and nothing of the standard library is instantiated: a function that the linker shared with the rest of the
// program might otherwise be the copy that this processor cannot run.
#include "tile_loops.h"

#include <string.h>

namespace mrcnn_keras {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
constexpr int kRows = 14;  // with two columns of accumulators, what 32 registers hold
constexpr int kSumRows = 8;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
constexpr int kRows = 6;
constexpr int kSumRows = 4;
#else
constexpr int kLanes = 4;
constexpr int kRows = 6;
constexpr int kSumRows = 4;
#endif
constexpr int kPanel = 2 * kLanes;
constexpr int kLine = 16;  // floats of a cache line

typedef float Vec __attribute__((vector_size(kLanes * 4)));

inline Vec Load(const float* from) {
  Vec v;
  memcpy(&v, from, sizeof(v));
  return v;
}

inline void Store(float* to, Vec v) { memcpy(to, &v, sizeof(v)); }

inline float* Place(float* out, const Placing& placing, int64_t channel) {
  return out + channel / placing.group * placing.group_stride + channel % placing.group;
}

// Each of the following is one axis of a transform; elements are `step` apart. The points of the interpolation are 0,
// +-sqrt(1/2), +-sqrt(2) and infinity: a third of the rounding error of 0, +-1, +-2 and infinity.
constexpr float kNear = 0.70710678118654752f;
constexpr float kFar = 1.41421356237309505f;

inline void FilterAxis(const Vec* g, int step, Vec* u) {  // 3 -> 6
  const Vec g0 = g[0], g1 = g[step], g2 = g[2 * step];
  const Vec near_even = g0 * (-2.0f / 3) + g2 * (-1.0f / 3), near_odd = g1 * (kNear * -2.0f / 3);
  const Vec far_even = g0 * (1.0f / 6) + g2 * (1.0f / 3), far_odd = g1 * (kFar / 6);
  u[0] = g0;
  u[1] = near_even + near_odd;
  u[2] = near_even - near_odd;
  u[3] = far_even + far_odd;
  u[4] = far_even - far_odd;
  u[5] = g2;
}

inline void SumsAxis(const Vec* u, int step, Vec* g) {  // 6 -> 3, the transpose of FilterAxis
  const Vec near_sum = u[step] + u[2 * step], near_difference = u[step] - u[2 * step];
  const Vec far_sum = u[3 * step] + u[4 * step], far_difference = u[3 * step] - u[4 * step];
  g[0] = u[0] + near_sum * (-2.0f / 3) + far_sum * (1.0f / 6);
  g[1] = near_difference * (kNear * -2.0f / 3) + far_difference * (kFar / 6);
  g[2] = near_sum * (-1.0f / 3) + far_sum * (1.0f / 3) + u[5 * step];
}

inline void InputAxis(const Vec* d, int step, Vec* v) {  // 6 -> 6
  const Vec d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
  const Vec near_even = d4 - 2.0f * d2, near_odd = kNear * (d3 - 2.0f * d1);
  const Vec far_even = d4 - 0.5f * d2, far_odd = kFar * (d3 - 0.5f * d1);
  v[0] = d0 - 2.5f * d2 + d4;
  v[1] = near_even + near_odd;
  v[2] = near_even - near_odd;
  v[3] = far_even + far_odd;
  v[4] = far_even - far_odd;
  v[5] = d1 - 2.5f * d3 + d5;
}

inline void OutputAxis(const Vec* m, int step, Vec* y) {  // 6 -> 4
  const Vec near_sum = m[step] + m[2 * step], near_difference = kNear * (m[step] - m[2 * step]);
  const Vec far_sum = m[3 * step] + m[4 * step], far_difference = kFar * (m[3 * step] - m[4 * step]);
  y[0] = m[0] + near_sum + far_sum;
  y[1] = near_difference + far_difference;
  y[2] = 0.5f * near_sum + 2.0f * far_sum;
  y[3] = 0.5f * near_difference + 2.0f * far_difference + m[5 * step];
}

inline void GradientAxis(const Vec* y, int step, Vec* m) {  // 4 -> 6, the transpose of OutputAxis
  const Vec y0 = y[0], y1 = y[step], y2 = y[2 * step], y3 = y[3 * step];
  const Vec near_even = y0 + 0.5f * y2, near_odd = kNear * (y1 + 0.5f * y3);
  const Vec far_even = y0 + 2.0f * y2, far_odd = kFar * (y1 + 2.0f * y3);
  m[0] = y0;
  m[1] = near_even + near_odd;
  m[2] = near_even - near_odd;
  m[3] = far_even + far_odd;
  m[4] = far_even - far_odd;
  m[5] = y3;
}

inline void TransformTaps(const float* first, int64_t stride, int64_t plane_stride, float* out) {
  Vec taps[9], columns[18], u[6];
  for (int i = 0; i < 9; ++i) taps[i] = Load(first + i * stride);
  for (int x = 0; x < 3; ++x) {
    FilterAxis(taps + x, 3, u);
    for (int i = 0; i < 6; ++i) columns[i * 3 + x] = u[i];
  }
  for (int i = 0; i < 6; ++i) {
    FilterAxis(columns + i * 3, 1, u);
    for (int j = 0; j < 6; ++j) Store(out + (i * 6 + j) * plane_stride, u[j]);
  }
}

void TransformFilter(const float* filter, int64_t depth, int64_t outputs, int64_t begin, int64_t end,
                     int64_t plane_stride, float* panels) {
  for (int64_t c = begin; c < end; ++c) {
    for (int64_t k = 0; k < outputs; k += kLanes) {
      TransformTaps(filter + c * outputs + k, depth * outputs, plane_stride,
                    panels + (k / kPanel * depth + c) * kPanel + k % kPanel);
    }
  }
}

void TransformTurnedFilter(const float* filter, int64_t depth, int64_t outputs, int64_t begin, int64_t end,
                           int64_t plane_stride, float* panels) {
  for (int64_t c = begin; c < end; c += kGroup) {
    for (int64_t k = 0; k < outputs; k += kLanes) {
      float taps[9][kGroup][kLanes];
      for (int i = 0; i < 9; ++i) {
        const float* const from = filter + ((8 - i) * outputs + k) * depth + c;
        for (int lane = 0; lane < kLanes; ++lane) {
          for (int row = 0; row < kGroup; ++row) taps[i][row][lane] = from[lane * depth + row];
        }
      }
      for (int row = 0; row < kGroup; ++row) {
        TransformTaps(taps[0][row], kGroup * kLanes, plane_stride,
                      panels + (k / kPanel * depth + c + row) * kPanel + k % kPanel);
      }
    }
  }
}

void TransformInput(const float* const* cells, int64_t channels, const Placing& placing, float* out) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    Vec tile[36], columns[36], v[6];
    for (int i = 0; i < 36; ++i) tile[i] = Load(cells[i] + c);
    for (int x = 0; x < 6; ++x) {
      InputAxis(tile + x, 6, v);
      for (int i = 0; i < 6; ++i) columns[i * 6 + x] = v[i];
    }
    float* const place = Place(out, placing, c);
    for (int i = 0; i < 6; ++i) {
      InputAxis(columns + i * 6, 1, v);
      for (int j = 0; j < 6; ++j) Store(place + (i * 6 + j) * placing.plane_stride, v[j]);
    }
  }
}

void TransformOutput(const float* products, int64_t plane_stride, int64_t channels, const float* bias, bool relu,
                     float* const* cells) {
  const Vec zero = {};
  for (int64_t k = 0; k < channels; k += kLanes) {
    Vec tile[36], columns[24], y[4];
    for (int i = 0; i < 36; ++i) tile[i] = Load(products + i * plane_stride + k);
    for (int x = 0; x < 6; ++x) {
      OutputAxis(tile + x, 6, y);
      for (int i = 0; i < 4; ++i) columns[i * 6 + x] = y[i];
    }
    const Vec shift = Load(bias + k);
    for (int i = 0; i < 4; ++i) {
      OutputAxis(columns + i * 6, 1, y);
      for (int j = 0; j < 4; ++j) {
        if (cells[i * 4 + j] == nullptr) continue;
        const Vec value = y[j] + shift;
        Store(cells[i * 4 + j] + k, relu ? (value < zero ? zero : value) : value);  // NaN stays
      }
    }
  }
}

void TransformGradient(const float* const* cells, int64_t channels, const Placing& placing, float* out) {
  for (int64_t k = 0; k < channels; k += kLanes) {
    Vec tile[16], columns[24], m[6];
    for (int i = 0; i < 16; ++i) tile[i] = Load(cells[i] + k);
    for (int x = 0; x < 4; ++x) {
      GradientAxis(tile + x, 4, m);
      for (int i = 0; i < 6; ++i) columns[i * 4 + x] = m[i];
    }
    float* const place = Place(out, placing, k);
    for (int i = 0; i < 6; ++i) {
      GradientAxis(columns + i * 4, 1, m);
      for (int j = 0; j < 6; ++j) Store(place + (i * 6 + j) * placing.plane_stride, m[j]);
    }
  }
}

void TransformSums(const float* sums, int64_t depth, int64_t outputs, int64_t begin, int64_t end, float* gradient) {
  const int64_t plane = depth * outputs;
  for (int64_t at = begin * outputs; at < end * outputs; at += kLanes) {
    Vec u[36], rows[18], g[3];
    for (int i = 0; i < 36; ++i) u[i] = Load(sums + i * plane + at);
    for (int x = 0; x < 6; ++x) {
      SumsAxis(u + x, 6, g);
      for (int i = 0; i < 3; ++i) rows[i * 6 + x] = g[i];
    }
    for (int i = 0; i < 3; ++i) {
      SumsAxis(rows + i * 6, 1, g);
      for (int j = 0; j < 3; ++j) Store(gradient + (i * 3 + j) * plane + at, g[j]);
    }
  }
}

// M tiles by one panel; the panel behind it is fetched meanwhile.
template <int M>
void MultiplyRows(const float* tiles, int64_t depth, const float* panel, float* out, int64_t width) {
  Vec total[M][2] = {};
  const float* const next = panel + depth * kPanel;
  for (int64_t c = 0; c < depth; ++c) {
    __builtin_prefetch(next + c * kPanel, 0, 2);
    if (kPanel > kLine) __builtin_prefetch(next + c * kPanel + kLine, 0, 2);
    const Vec left = Load(panel + c * kPanel), right = Load(panel + c * kPanel + kLanes);
    for (int m = 0; m < M; ++m) {
      const float value = tiles[m * depth + c];
      total[m][0] += value * left;
      total[m][1] += value * right;
    }
  }
  for (int m = 0; m < M; ++m) {
    Store(out + m * width, total[m][0]);
    Store(out + m * width + kLanes, total[m][1]);
  }
}

template <int M>
void MultiplyRest(int64_t rest, const float* tiles, int64_t depth, const float* panel, float* out, int64_t width) {
  if constexpr (M > 0) {
    if (rest == M) return MultiplyRows<M>(tiles, depth, panel, out, width);
    MultiplyRest<M - 1>(rest, tiles, depth, panel, out, width);
  }
}

void Multiply(const float* tiles, int64_t num_tiles, int64_t depth, const float* panels, int64_t num_panels,
              float* out) {
  const int64_t width = num_panels * kPanel;
  for (int64_t p = 0; p < num_panels; ++p) {
    const float* const panel = panels + p * depth * kPanel;
    int64_t t = 0;
    for (; t + kRows <= num_tiles; t += kRows) {
      MultiplyRows<kRows>(tiles + t * depth, depth, panel, out + t * width + p * kPanel, width);
    }
    MultiplyRest<kRows - 1>(num_tiles - t, tiles + t * depth, depth, panel, out + t * width + p * kPanel, width);
  }
}

// kSumRows inputs by N vectors of outputs, over all tiles.
template <int N>
void AccumulateBlock(const float* a, const float* const* b, int64_t num_tiles, float* sums, int64_t outputs) {
  Vec total[kSumRows][N];
  for (int m = 0; m < kSumRows; ++m) {
    for (int n = 0; n < N; ++n) total[m][n] = Load(sums + m * outputs + n * kLanes);
  }
  for (int64_t t = 0; t < num_tiles; ++t) {
    Vec values[N];
    for (int n = 0; n < N; ++n) values[n] = Load(b[n] + t * kGroup);
    for (int m = 0; m < kSumRows; ++m) {
      const float value = a[t * kGroup + m];
      for (int n = 0; n < N; ++n) total[m][n] += value * values[n];
    }
  }
  for (int m = 0; m < kSumRows; ++m) {
    for (int n = 0; n < N; ++n) Store(sums + m * outputs + n * kLanes, total[m][n]);
  }
}

void Accumulate(const float* a, const float* b, int64_t num_tiles, int64_t outputs, int64_t begin, int64_t end,
                float* sums) {
  const auto at = [&](int64_t k) { return b + k / kGroup * num_tiles * kGroup + k % kGroup; };
  for (int64_t k = 0; k < outputs; k += kPanel) {
    const bool pair = k + kLanes < outputs;
    const float* const columns[2] = {at(k), pair ? at(k + kLanes) : nullptr};
    for (int64_t c = begin; c < end; c += kSumRows) {
      const float* const rows = a + c / kGroup * num_tiles * kGroup + c % kGroup;
      float* const block = sums + c * outputs + k;
      if (pair) {
        AccumulateBlock<2>(rows, columns, num_tiles, block, outputs);
      } else {
        AccumulateBlock<1>(rows, columns, num_tiles, block, outputs);
      }
    }
  }
}

constexpr TileLoops kLoops = {kPanel,          kRows, TransformFilter, TransformTurnedFilter, TransformInput, Multiply, TransformOutput,
                              TransformGradient, Accumulate, TransformSums};

}  // namespace

namespace MRCNN_KERAS_ISA {

extern const TileLoops* const kTileLoops;
const TileLoops* const kTileLoops = &kLoops;

}  // namespace MRCNN_KERAS_ISA
}  // namespace mrcnn_keras
