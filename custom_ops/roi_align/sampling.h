// Where RoIAlign, RoIWarp and RoIPool sample: the arithmetic of one axis of a RoI, shared by the CPU and CUDA kernels.
// Free of TensorFlow headers. Compile with floating-point contraction off, so that every kernel and the Python fallback
// round alike and agree on the number of samples.
#ifndef MRCNN_KERAS_ROI_ALIGN_SAMPLING_H_
#define MRCNN_KERAS_ROI_ALIGN_SAMPLING_H_

#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define MRCNN_KERAS_HD __host__ __device__ inline
#else
#define MRCNN_KERAS_HD inline
#endif

namespace mrcnn_keras {

// RoIWarp samples as RoIAlign does, on a RoI moved to whole cells; RoIPool takes that RoI's cells themselves.
enum class Method { kAlign, kWarp, kPool };

struct Attributes {
  Method method;
  int output_height;
  int output_width;
  int sampling_ratio;  // samples on a side of a bin, 0: as many as the bin has cells, rounded up
  bool aligned;        // whether coordinates move by half a cell
  bool largest;        // maximum instead of average of the samples
};

// Rows or columns of one RoI on its map.
struct Axis {
  float start;     // first edge, in cells
  float bin_size;  // cells in one bin, negative for a reversed box
  int samples;     // samples in one bin, >= 0; 1 where they are whole cells, of which only those on the map count
  int extent;      // cells in the map
  bool whole;      // whether a bin's samples are the cells of the map that it touches, and are numbered as those

  MRCNN_KERAS_HD float BinStart(int bin) const { return start + static_cast<float>(bin) * bin_size; }

  MRCNN_KERAS_HD float Position(int bin, int sample) const {
    if (whole) return static_cast<float>(sample);
    return BinStart(bin) + (static_cast<float>(sample) + 0.5f) * bin_size / static_cast<float>(samples);
  }

  MRCNN_KERAS_HD bool Counts(float position) const {
    return position >= -1.0f && position <= static_cast<float>(extent);
  }

  // Samples [first, end) of a bin, a few more than can lie on the map: what is left of a box that is far larger.
  MRCNN_KERAS_HD void Window(int bin, int* first, int* end) const {
    if (whole) {
      *first = ToCell(floorf(static_cast<float>(bin) * bin_size) + start);
      *end = ToCell(ceilf(static_cast<float>(bin + 1) * bin_size) + start);
      return;
    }
    *first = 0;
    *end = samples;
    if (samples <= 4 || !(bin_size > 0.0f)) return;
    const double step = static_cast<double>(bin_size) / samples;
    const double before = (-1.0 - BinStart(bin)) / step - 2.0;
    const double after = (extent - BinStart(bin)) / step + 2.0;
    if (before > 0.0) *first = before < samples ? static_cast<int>(before) : samples;
    if (after < samples) *end = after > 0.0 ? static_cast<int>(after) : 0;
    if (*end < *first) *end = *first;
  }

 private:
  MRCNN_KERAS_HD int ToCell(float edge) const {
    const float last = static_cast<float>(extent);
    return edge > 0.0f ? (edge < last ? static_cast<int>(edge) : extent) : 0;
  }
};

// The two cells around a position that counts, and how far it is towards the second.
struct Neighbours {
  int low;
  int high;
  float fraction;

  MRCNN_KERAS_HD Neighbours(float position, int extent) {
    const float last = static_cast<float>(extent - 1);
    const float clamped = position > 0.0f ? (position < last ? position : last) : 0.0f;
    low = static_cast<int>(clamped);
    high = low + 1 < extent ? low + 1 : extent - 1;
    fraction = clamped - static_cast<float>(low);
  }
};

// The nearest whole cell, halves away from 0; within bounds that keep differences finite.
MRCNN_KERAS_HD float Quantise(float position) {
  const float bound = 1.0e30f;
  return roundf(position > -bound ? (position < bound ? position : bound) : -bound);
}

MRCNN_KERAS_HD Axis MakeAxis(float low, float high, float scale, int extent, int bins, const Attributes& attributes) {
  const float offset = attributes.aligned && attributes.method != Method::kPool ? 0.5f : 0.0f;
  Axis axis;
  float size;
  if (attributes.method == Method::kAlign) {
    axis.start = low * scale - offset;
    size = high * scale - offset - axis.start;
    if (!attributes.aligned && size < 1.0f) size = 1.0f;
  } else {
    const float first = Quantise(low * scale);
    axis.start = first - offset;
    size = Quantise(high * scale) - first + 1.0f;  // the last cell is one of the RoI's
    if (size < 1.0f) size = 1.0f;
  }
  axis.bin_size = size / static_cast<float>(bins);
  axis.extent = extent;
  axis.whole = attributes.method == Method::kPool;
  axis.samples = axis.whole ? 1 : attributes.sampling_ratio;
  if (axis.samples <= 0) {
    const float count = ceilf(axis.bin_size);
    axis.samples = count > 0.0f ? (count < 1.0e9f ? static_cast<int>(count) : 1000000000) : 0;
  }
  return axis;
}

}  // namespace mrcnn_keras

#endif  // MRCNN_KERAS_ROI_ALIGN_SAMPLING_H_
