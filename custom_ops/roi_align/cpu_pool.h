// RoIAlign, RoIWarp and RoIPool of single RoIs on the CPU, free of TensorFlow headers. cpu_kernels.cc shares the work
// among threads.
//
// Sampling on a regular grid is separable: what a bin takes from a cell is (weight of the row) * (weight of the
// column). So a RoI is pooled row by row of its map: the cells of a row are summed into the bins across (each cell is
// read once, however many samples there are), and that is added to the one or two bins down that touch the row. The
// gradient takes the same steps backwards.
#ifndef MRCNN_KERAS_ROI_ALIGN_CPU_POOL_H_
#define MRCNN_KERAS_ROI_ALIGN_CPU_POOL_H_

#include <vector>

#include "channel_loops.h"
#include "sampling.h"

namespace mrcnn_keras {

// What each bin of an axis takes from each cell, as in TapsView, the mean over the bin's samples.
struct Taps {
  std::vector<int> first, end, offset;
  std::vector<float> weights;
  int low = 0, high = 0;  // all cells are in [low, high)

  void Compute(const Axis& axis, int bins);
  TapsView View() const;
  float Weight(int bin, int cell) const {
    return cell >= first[bin] && cell < end[bin] ? weights[offset[bin] + cell - first[bin]] : 0.0f;
  }
};

// One RoI's place: a map of one image, (height, width, channels), and its axes on it.
struct Roi {
  int level = 0;
  int image = 0;
  Axis rows, columns;
};

// Memory that a thread uses again for each RoI.
struct Scratch {
  Taps rows, columns;
  std::vector<float> line, pooled, band;
};

// pooled (P, P, C) of a RoI on `map`, the first cell of its image.
template <typename T>
void PoolAverage(const Roi& roi, const Attributes& attributes, int64_t channels, const T* map, Scratch* scratch,
                 T* pooled);

// Adds the gradient of one RoI to the rows [begin, end) of its map; `band` is the first cell of row `begin`.
template <typename T>
void SpreadAverage(const Roi& roi, const Taps& rows, const Taps& columns, int64_t channels, const T* upstream,
                   int begin, int end, Scratch* scratch, float* band);

// The same for the largest sample, or the largest cell of RoIPool; `winner` (P, P, C), if not null, gets the sample
// that is largest, numbered through the bin's windows of samples, -1 where that is one outside the map.
template <typename T>
void PoolLargest(const Roi& roi, const Attributes& attributes, int64_t channels, const T* map, Scratch* scratch,
                 T* pooled, int* winner);
template <typename T>
void SpreadLargest(const Roi& roi, const Attributes& attributes, int64_t channels, const T* upstream, const int* winner,
                   int begin, int end, float* band);

}  // namespace mrcnn_keras

#endif  // MRCNN_KERAS_ROI_ALIGN_CPU_POOL_H_
