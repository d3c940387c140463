// The inner loops of a 3x3 convolution by Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, CVPR 2016): tiles of
// 6x6 inputs give 4x4 outputs with 36 products a channel pair in place of 144. tile_loops.cc is compiled once for each
// instruction set. All numbers of channels are multiples of 16.
#ifndef MRCNN_KERAS_CONV3X3_TILE_LOOPS_H_
#define MRCNN_KERAS_CONV3X3_TILE_LOOPS_H_

#include <cstdint>

namespace mrcnn_keras {

constexpr int kInputSide = 6;   // cells of an input tile
constexpr int kOutputSide = 4;  // cells of an output tile
constexpr int kPlanes = kInputSide * kInputSide;
constexpr int kOutputs = kOutputSide * kOutputSide;
constexpr int kGroup = 16;  // what numbers of channels are multiples of

// Where a transformed tile goes: element (plane, channel) is at plane * plane_stride + channel / group * group_stride +
// channel % group, group a multiple of 16.
struct Placing {
  int64_t plane_stride;
  int64_t group;
  int64_t group_stride;
};

struct TileLoops {
  int panel;  // output channels that are multiplied together
  int rows;   // tiles that are multiplied together

  // filter (3, 3, depth, outputs), inputs [begin, end) of it -> panels (36, ceil(outputs / panel), depth, panel), planes
  // `plane_stride` apart.
  void (*transform_filter)(const float* filter, int64_t depth, int64_t outputs, int64_t begin, int64_t end,
                           int64_t plane_stride, float* panels);
  // The same of the convolution that carries gradients back: filter (3, 3, outputs, depth), turned by half a circle.
  // [begin, end) is whole groups.
  void (*transform_turned_filter)(const float* filter, int64_t depth, int64_t outputs, int64_t begin, int64_t end,
                                  int64_t plane_stride, float* panels);
  // 6x6 cells, each a pointer to `channels` numbers.
  void (*transform_input)(const float* const* cells, int64_t channels, const Placing& placing, float* out);
  // out (tiles, num_panels * panel) = tiles (tiles, depth) x panels (num_panels, depth, panel).
  void (*multiply)(const float* tiles, int64_t num_tiles, int64_t depth, const float* panels, int64_t num_panels,
                   float* out);
  // Planes of products of one tile -> 4x4 cells; a null pointer is a cell outside the map.
  void (*transform_output)(const float* products, int64_t plane_stride, int64_t channels, const float* bias, bool relu,
                           float* const* cells);

  // The transpose of transform_output without its bias: 4x4 cells -> 36 planes.
  void (*transform_gradient)(const float* const* cells, int64_t channels, const Placing& placing, float* out);
  // sums (depth, outputs), inputs [begin, end), += the products over all tiles; a (depth / 16, tiles, 16),
  // b (outputs / 16, tiles, 16).
  void (*accumulate)(const float* a, const float* b, int64_t num_tiles, int64_t outputs, int64_t begin, int64_t end,
                     float* sums);
  // sums (36, depth, outputs) -> gradient (3, 3, depth, outputs), inputs [begin, end).
  void (*transform_sums)(const float* sums, int64_t depth, int64_t outputs, int64_t begin, int64_t end,
                         float* gradient);
};

// The loops for this processor.
const TileLoops& BestTileLoops();

}  // namespace mrcnn_keras

#endif  // MRCNN_KERAS_CONV3X3_TILE_LOOPS_H_
