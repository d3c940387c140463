// Chooses among the copies of tile_loops.cc.
#include "../common/isa.h"
#include "tile_loops.h"

namespace mrcnn_keras {

namespace baseline {
extern const TileLoops* const kTileLoops;
}
#ifdef MRCNN_KERAS_X86
namespace avx2 {
extern const TileLoops* const kTileLoops;
}
namespace avx512 {
extern const TileLoops* const kTileLoops;
}
#endif

const TileLoops& BestTileLoops() { return *MRCNN_KERAS_CHOOSE(kTileLoops); }

}  // namespace mrcnn_keras
