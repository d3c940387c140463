// The inner loops of the CPU kernels, all over contiguous channels. channel_loops.cc is compiled once for each
// instruction set, and the best one for the processor is taken at run time, so a build runs on every machine.
#ifndef MRCNN_KERAS_ROI_ALIGN_CHANNEL_LOOPS_H_
#define MRCNN_KERAS_ROI_ALIGN_CHANNEL_LOOPS_H_

#include <cstdint>

namespace mrcnn_keras {

// Layout of the 16-bit floats; the arithmetic is float32 throughout.
struct BFloat16 {
  uint16_t bits;
};
struct Half {
  uint16_t bits;
};

// What each bin of an axis takes from the cells of its map: sum over cell in [first[b], end[b]) of
// weights[offset[b] + cell - first[b]] * value of the cell.
struct TapsView {
  int bins;
  const int* first;
  const int* end;
  const int* offset;
  const float* weights;
};

template <typename T>
struct ChannelLoops {
  // bins_out (bins, channels) = weighted sums of the cells of one row of the map, (width, channels).
  void (*gather_row)(const T* row, int64_t channels, const TapsView& taps, float* bins_out);
  // row (width, channels) += the transpose of that applied to bins_in (bins, channels).
  void (*spread_row)(const float* bins_in, int64_t channels, const TapsView& taps, float* row);
  // total = weight * values, or += where `add`.
  void (*scale)(const T* values, float weight, bool add, int64_t count, float* total);
  void (*scale_float)(const float* values, float weight, bool add, int64_t count, float* total);
  void (*convert)(const float* values, int64_t count, T* out);
  // Where the bilinear sample of four cells is over `best`: best = sample, winner = index. `winner` may be null.
  void (*keep_largest)(const T* const cells[4], const float weights[4], int64_t channels, int index, float* best,
                       int* winner);
  // The same for the first cell alone, whatever its weight.
  void (*keep_largest_cell)(const T* const cells[1], const float weights[1], int64_t channels, int index, float* best,
                            int* winner);
};

// The loops for this processor.
template <typename T>
const ChannelLoops<T>& BestChannelLoops();

}  // namespace mrcnn_keras

#endif  // MRCNN_KERAS_ROI_ALIGN_CHANNEL_LOOPS_H_
