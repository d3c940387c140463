// See cpu_pool.h.
#include "cpu_pool.h"

#include <algorithm>
#include <limits>

namespace mrcnn_keras {
namespace {

// float32 is summed where it belongs, 16-bit floats beside it.
float* SumInto(float* pooled, int64_t, std::vector<float>*) { return pooled; }
template <typename T>
float* SumInto(T*, int64_t count, std::vector<float>* beside) {
  beside->resize(count);
  return beside->data();
}

}  // namespace

void Taps::Compute(const Axis& axis, int bins) {
  first.assign(bins, 0);
  end.assign(bins, 0);
  offset.assign(bins, 0);
  weights.clear();
  low = axis.extent;
  high = 0;
  const float share = axis.samples > 0 ? 1.0f / static_cast<float>(axis.samples) : 0.0f;
  for (int bin = 0; bin < bins; ++bin) {
    offset[bin] = static_cast<int>(weights.size());
    int begin_sample, end_sample;
    axis.Window(bin, &begin_sample, &end_sample);
    while (begin_sample < end_sample && !axis.Counts(axis.Position(bin, begin_sample))) ++begin_sample;
    while (begin_sample < end_sample && !axis.Counts(axis.Position(bin, end_sample - 1))) --end_sample;
    if (begin_sample >= end_sample) continue;
    // Positions run one way, so the outermost samples touch the outermost cells.
    const Neighbours one(axis.Position(bin, begin_sample), axis.extent);
    const Neighbours other(axis.Position(bin, end_sample - 1), axis.extent);
    first[bin] = std::min(one.low, other.low);
    end[bin] = std::max(one.high, other.high) + 1;
    low = std::min(low, first[bin]);
    high = std::max(high, end[bin]);
    weights.resize(weights.size() + end[bin] - first[bin], 0.0f);
    float* const into = weights.data() + offset[bin] - first[bin];
    for (int i = begin_sample; i < end_sample; ++i) {
      const Neighbours cells(axis.Position(bin, i), axis.extent);
      into[cells.low] += 1.0f - cells.fraction;
      into[cells.high] += cells.fraction;
    }
    for (int cell = first[bin]; cell < end[bin]; ++cell) into[cell] *= share;
  }
}

TapsView Taps::View() const {
  return {static_cast<int>(first.size()), first.data(), end.data(), offset.data(), weights.data()};
}

template <typename T>
void PoolAverage(const Roi& roi, const Attributes& attributes, int64_t channels, const T* map, Scratch* scratch,
                 T* pooled) {
  const ChannelLoops<T>& loops = BestChannelLoops<T>();
  Taps& rows = scratch->rows;
  rows.Compute(roi.rows, attributes.output_height);
  scratch->columns.Compute(roi.columns, attributes.output_width);
  const TapsView columns = scratch->columns.View();

  const int64_t line = attributes.output_width * channels;
  scratch->line.resize(line);
  float* const total = SumInto(pooled, attributes.output_height * line, &scratch->pooled);
  std::vector<char> started(attributes.output_height, 0);
  for (int row = rows.low; row < rows.high; ++row) {
    const T* const cells = map + static_cast<int64_t>(row) * roi.columns.extent * channels;
    bool gathered = false;
    for (int bin = 0; bin < attributes.output_height; ++bin) {
      const float weight = rows.Weight(bin, row);
      if (weight == 0.0f) continue;
      if (!gathered) loops.gather_row(cells, channels, columns, scratch->line.data());
      gathered = true;
      loops.scale_float(scratch->line.data(), weight, started[bin], line, total + bin * line);
      started[bin] = 1;
    }
  }
  for (int bin = 0; bin < attributes.output_height; ++bin) {
    if (!started[bin]) std::fill(total + bin * line, total + (bin + 1) * line, 0.0f);
  }
  if (static_cast<void*>(total) != pooled) loops.convert(total, attributes.output_height * line, pooled);
}

template <typename T>
void SpreadAverage(const Roi& roi, const Taps& rows, const Taps& columns, int64_t channels, const T* upstream,
                   int begin, int end, Scratch* scratch, float* band) {
  const ChannelLoops<T>& loops = BestChannelLoops<T>();
  const int bins = static_cast<int>(rows.first.size());
  const int64_t line = static_cast<int64_t>(columns.first.size()) * channels;
  scratch->line.resize(line);
  for (int row = std::max(begin, rows.low); row < std::min(end, rows.high); ++row) {
    bool started = false;
    for (int bin = 0; bin < bins; ++bin) {
      const float weight = rows.Weight(bin, row);
      if (weight == 0.0f) continue;
      loops.scale(upstream + bin * line, weight, started, line, scratch->line.data());
      started = true;
    }
    if (!started) continue;
    float* const cells = band + static_cast<int64_t>(row - begin) * roi.columns.extent * channels;
    loops.spread_row(scratch->line.data(), channels, columns.View(), cells);
  }
}

// The cells around a sample and what it takes from each; the first one is all there is to a sample that is a cell.
template <typename T>
struct Corners {
  const T* cells[4];
  float weights[4];

  Corners(const Neighbours& row, const Neighbours& column, const T* map, int64_t width, int64_t channels) {
    for (int i = 0; i < 4; ++i) {
      const bool below = i >= 2, right = i % 2 == 1;
      const int64_t y = below ? row.high : row.low, x = right ? column.high : column.low;
      cells[i] = map + (y * width + x) * channels;
      weights[i] = (below ? row.fraction : 1.0f - row.fraction) * (right ? column.fraction : 1.0f - column.fraction);
    }
  }
};

// best and winner (channels,) of one bin.
template <typename T>
static void LargestOfBin(const Roi& roi, int down, int across, int64_t channels, const T* map, float* best,
                         int* winner) {
  const Axis &rows = roi.rows, &columns = roi.columns;
  const auto keep = rows.whole ? BestChannelLoops<T>().keep_largest_cell : BestChannelLoops<T>().keep_largest;
  int row_begin, row_end, column_begin, column_end;
  rows.Window(down, &row_begin, &row_end);
  columns.Window(across, &column_begin, &column_end);
  std::fill(best, best + channels, -std::numeric_limits<float>::infinity());
  if (winner != nullptr) std::fill(winner, winner + channels, -1);
  int64_t inside = 0;
  for (int i = row_begin; i < row_end; ++i) {
    const float y = rows.Position(down, i);
    if (!rows.Counts(y)) continue;
    const Neighbours row(y, rows.extent);
    for (int j = column_begin; j < column_end; ++j) {
      const float x = columns.Position(across, j);
      if (!columns.Counts(x)) continue;
      const Corners<T> corners(row, Neighbours(x, columns.extent), map, columns.extent, channels);
      const int index = (i - row_begin) * (column_end - column_begin) + (j - column_begin);
      keep(corners.cells, corners.weights, channels, index, best, winner);
      ++inside;
    }
  }
  if (inside > 0 && inside >= static_cast<int64_t>(rows.samples) * columns.samples) return;
  for (int64_t c = 0; c < channels; ++c) {  // a sample outside the map is 0, and so is a bin without samples
    if (best[c] >= 0.0f && inside > 0) continue;
    best[c] = 0.0f;
    if (winner != nullptr) winner[c] = -1;
  }
}

template <typename T>
void PoolLargest(const Roi& roi, const Attributes& attributes, int64_t channels, const T* map, Scratch* scratch,
                 T* pooled, int* winner) {
  scratch->pooled.resize(channels);
  float* const best = scratch->pooled.data();
  for (int down = 0; down < attributes.output_height; ++down) {
    for (int across = 0; across < attributes.output_width; ++across) {
      LargestOfBin(roi, down, across, channels, map, best, winner);
      if (winner != nullptr) winner += channels;
      if (pooled == nullptr) continue;
      BestChannelLoops<T>().convert(best, channels, pooled);
      pooled += channels;
    }
  }
}

// The cells around each sample in the window of a bin.
static void FindNeighbours(const Axis& axis, int bin, std::vector<Neighbours>* found) {
  int begin, end;
  axis.Window(bin, &begin, &end);
  found->clear();
  for (int i = begin; i < end; ++i) found->emplace_back(axis.Position(bin, i), axis.extent);
}

// Adds the gradient (channels,) of one bin to the cells of its winning samples.
static void SpreadBin(const std::vector<Neighbours>& rows, const std::vector<Neighbours>& columns, int64_t channels,
                      const float* gradient, const int* winner, int begin, int end, int64_t line, float* band) {
  const int across = static_cast<int>(columns.size());
  for (int64_t c = 0; c < channels; ++c) {
    if (winner[c] < 0) continue;
    const Neighbours &row = rows[winner[c] / across], &column = columns[winner[c] % across];
    const auto add = [&](int y, float row_weight) {
      if (y < begin || y >= end) return;
      float* const cells = band + (y - begin) * line + c;
      cells[column.low * channels] += row_weight * (1.0f - column.fraction) * gradient[c];
      if (column.fraction > 0.0f) cells[column.high * channels] += row_weight * column.fraction * gradient[c];
    };
    add(row.low, 1.0f - row.fraction);
    if (row.fraction > 0.0f) add(row.high, row.fraction);
  }
}

template <typename T>
void SpreadLargest(const Roi& roi, const Attributes& attributes, int64_t channels, const T* upstream, const int* winner,
                   int begin, int end, float* band) {
  const int64_t line = roi.columns.extent * channels;
  std::vector<float> gradient(channels);
  std::vector<Neighbours> rows, columns;
  for (int down = 0; down < attributes.output_height; ++down) {
    FindNeighbours(roi.rows, down, &rows);
    if (rows.empty()) continue;
    // Positions run one way, so the outermost samples touch the outermost cells.
    if (std::min(rows.front().low, rows.back().low) >= end) continue;
    if (std::max(rows.front().high, rows.back().high) < begin) continue;
    for (int across = 0; across < attributes.output_width; ++across) {
      const int64_t bin = (down * attributes.output_width + across) * channels;
      FindNeighbours(roi.columns, across, &columns);
      if (columns.empty()) continue;
      BestChannelLoops<T>().scale(upstream + bin, 1.0f, false, channels, gradient.data());
      SpreadBin(rows, columns, channels, gradient.data(), winner + bin, begin, end, line, band);
    }
  }
}

#define MRCNN_KERAS_INSTANTIATE(T)                                                                                     \
  template void PoolAverage<T>(const Roi&, const Attributes&, int64_t, const T*, Scratch*, T*);                        \
  template void SpreadAverage<T>(const Roi&, const Taps&, const Taps&, int64_t, const T*, int, int, Scratch*, float*); \
  template void PoolLargest<T>(const Roi&, const Attributes&, int64_t, const T*, Scratch*, T*, int*);                  \
  template void SpreadLargest<T>(const Roi&, const Attributes&, int64_t, const T*, const int*, int, int, float*);
MRCNN_KERAS_INSTANTIATE(float)
MRCNN_KERAS_INSTANTIATE(BFloat16)
MRCNN_KERAS_INSTANTIATE(Half)
#undef MRCNN_KERAS_INSTANTIATE

}  // namespace mrcnn_keras
