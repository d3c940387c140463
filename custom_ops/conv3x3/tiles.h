// The tiles of a batch of maps: 4x4 outputs each, row after row, image after image.
#ifndef MRCNN_KERAS_CONV3X3_TILES_H_
#define MRCNN_KERAS_CONV3X3_TILES_H_

#include "tile_loops.h"

namespace mrcnn_keras {

class TileGrid {
 public:
  TileGrid(int64_t batch, int64_t height, int64_t width)
      : height_(height),
        width_(width),
        rows_((height + kOutputSide - 1) / kOutputSide),
        columns_((width + kOutputSide - 1) / kOutputSide),
        size_(batch * rows_ * columns_) {}

  int64_t size() const { return size_; }

  // The 6x6 cells that the outputs of a tile depend on; those outside the map are `outside`.
  template <typename Pointer>
  void InputCells(int64_t tile, Pointer map, int64_t channels, Pointer outside, Pointer* cells) const {
    Cells<kInputSide>(tile, -1, map, channels, outside, cells);
  }

  // The 4x4 outputs.
  template <typename Pointer>
  void OutputCells(int64_t tile, Pointer map, int64_t channels, Pointer outside, Pointer* cells) const {
    Cells<kOutputSide>(tile, 0, map, channels, outside, cells);
  }

 private:
  template <int kSide, typename Pointer>
  void Cells(int64_t tile, int64_t offset, Pointer map, int64_t channels, Pointer outside, Pointer* cells) const {
    const int64_t image = tile / (rows_ * columns_);
    const int64_t top = tile / columns_ % rows_ * kOutputSide + offset;
    const int64_t left = tile % columns_ * kOutputSide + offset;
    for (int i = 0; i < kSide; ++i) {
      for (int j = 0; j < kSide; ++j) {
        const int64_t y = top + i, x = left + j;
        const bool inside = y >= 0 && y < height_ && x >= 0 && x < width_;
        cells[i * kSide + j] = inside ? map + ((image * height_ + y) * width_ + x) * channels : outside;
      }
    }
  }

  int64_t height_;
  int64_t width_;
  int64_t rows_;
  int64_t columns_;
  int64_t size_;
};

}  // namespace mrcnn_keras

#endif  // MRCNN_KERAS_CONV3X3_TILES_H_
