// CPU kernels: checks the RoIs and shares the work of cpu_pool.h among TensorFlow's threads.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "cpu_pool.h"
#include "op_inputs.h"
#include "tensorflow/core/framework/bfloat16.h"
#include "tensorflow/core/framework/register_types.h"
#include "tensorflow/core/lib/core/threadpool.h"

namespace mrcnn_keras {
namespace {

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;

template <typename T>
struct Layout;
template <>
struct Layout<float> {
  using Type = float;
};
template <>
struct Layout<tensorflow::bfloat16> {
  using Type = BFloat16;
};
template <>
struct Layout<Eigen::half> {
  using Type = Half;
};

template <typename T>
const typename Layout<T>::Type* Data(const Tensor& tensor) {
  return reinterpret_cast<const typename Layout<T>::Type*>(tensor.flat<T>().data());
}
template <typename T>
typename Layout<T>::Type* MutableData(Tensor* tensor) {
  return reinterpret_cast<typename Layout<T>::Type*>(tensor->flat<T>().data());
}

void ParallelFor(OpKernelContext* context, int64_t total, int64_t cost,
                 const std::function<void(int64_t, int64_t)>& work) {
  context->device()->tensorflow_cpu_worker_threads()->workers->ParallelFor(total, cost, work);
}

absl::Status BadRoi(const char* name, int64_t limit, int64_t row, int value) {
  return absl::InvalidArgumentError(
      absl::StrCat("RoiAlign: ", name, " must be >= 0 and below ", limit, ", RoI row ", row, " has ", value));
}

absl::Status FindRois(const Inputs& inputs, const std::vector<float>& scales, const Attributes& attributes,
                      std::vector<Roi>* rois) {
  const auto boxes = inputs.boxes.matrix<float>();
  const auto images = inputs.image_index.vec<int>();
  const auto levels = inputs.level.vec<int>();
  const int num_levels = static_cast<int>(inputs.maps.size());
  rois->resize(inputs.num_rois);
  for (int64_t r = 0; r < inputs.num_rois; ++r) {
    if (images(r) < 0 || images(r) >= inputs.batch) return BadRoi("image_index", inputs.batch, r, images(r));
    if (levels(r) < 0 || levels(r) >= num_levels) return BadRoi("level", num_levels, r, levels(r));
    for (int i = 0; i < 4; ++i) {
      if (std::isfinite(boxes(r, i))) continue;
      return absl::InvalidArgumentError(absl::StrCat("RoiAlign: boxes must be finite, RoI row ", r, " has [",
                                                     boxes(r, 0), ", ", boxes(r, 1), ", ", boxes(r, 2), ", ",
                                                     boxes(r, 3), "]"));
    }
    const Tensor& map = inputs.maps[levels(r)];
    const float scale = scales[levels(r)];
    Roi& roi = (*rois)[r];
    roi.level = levels(r);
    roi.image = images(r);
    roi.rows = MakeAxis(boxes(r, 1), boxes(r, 3), scale, map.dim_size(1), attributes.output_height, attributes);
    roi.columns = MakeAxis(boxes(r, 0), boxes(r, 2), scale, map.dim_size(2), attributes.output_width, attributes);
  }
  return absl::OkStatus();
}

// RoIs by level, image and place: neighbours find each other's cells still in the processor's cache.
std::vector<int> OrderByPlace(const std::vector<Roi>& rois) {
  constexpr float kTile = 32.0f;
  const auto tile = [](const Axis& axis) {
    return static_cast<int>(std::min(std::max(0.0f, axis.start), static_cast<float>(axis.extent)) / kTile);
  };
  std::vector<std::array<int, 5>> keys(rois.size());
  for (size_t r = 0; r < rois.size(); ++r) {
    keys[r] = {rois[r].level, rois[r].image, tile(rois[r].rows), tile(rois[r].columns), static_cast<int>(r)};
  }
  std::sort(keys.begin(), keys.end());
  std::vector<int> order(rois.size());
  for (size_t i = 0; i < keys.size(); ++i) order[i] = keys[i][4];
  return order;
}

int64_t OutputSize(const Attributes& attributes, int64_t channels) {
  return attributes.output_height * attributes.output_width * channels;
}

template <typename T>
const typename Layout<T>::Type* MapOf(const Inputs& inputs, const Roi& roi) {
  const Tensor& map = inputs.maps[roi.level];
  return Data<T>(map) + roi.image * (map.NumElements() / inputs.batch);
}

template <typename T>
class RoiAlignCpu : public RoiAlignBase {
 public:
  using RoiAlignBase::RoiAlignBase;

  void Compute(OpKernelContext* context) override {
    Inputs inputs;
    Tensor* output;
    OP_REQUIRES_OK(context, OpenForward(context, attributes_, &inputs, &output));
    std::vector<Roi> rois;
    OP_REQUIRES_OK(context, FindRois(inputs, scales_, attributes_, &rois));
    if (output->NumElements() == 0) return;
    auto* const pooled = MutableData<T>(output);
    const int64_t size = OutputSize(attributes_, inputs.channels);
    const std::vector<int> order = OrderByPlace(rois);
    ParallelFor(context, inputs.num_rois, 4 * size, [&](int64_t begin, int64_t end) {
      Scratch scratch;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t r = order[i];
        const auto* map = MapOf<T>(inputs, rois[r]);
        if (attributes_.largest) {
          PoolLargest(rois[r], attributes_, inputs.channels, map, &scratch, pooled + r * size, nullptr);
        } else {
          PoolAverage(rois[r], attributes_, inputs.channels, map, &scratch, pooled + r * size);
        }
      }
    });
  }
};

// Some rows of one image's map: the unit of work of the gradient. No two threads write the same cell, and a cell takes
// its parts in the order of the RoIs, so the result does not depend on the number of threads.
struct Band {
  int level, image, begin, end;
  const std::vector<int>* rois;
};
constexpr int kBandRows = 4;

template <typename T>
class RoiAlignGradCpu : public RoiAlignBase {
 public:
  using RoiAlignBase::RoiAlignBase;

  void Compute(OpKernelContext* context) override {
    Inputs inputs;
    const Tensor* upstream;
    std::vector<Tensor*> outputs;
    OP_REQUIRES_OK(context, OpenGradient(context, attributes_, &inputs, &upstream, &outputs));
    std::vector<Roi> rois;
    OP_REQUIRES_OK(context, FindRois(inputs, scales_, attributes_, &rois));
    if (inputs.channels == 0 || inputs.batch == 0) return;

    std::vector<std::vector<int>> groups(outputs.size() * inputs.batch);
    for (int64_t r = 0; r < inputs.num_rois; ++r) groups[rois[r].level * inputs.batch + rois[r].image].push_back(r);
    std::vector<Band> bands;
    int64_t cells = 0;
    for (size_t level = 0; level < outputs.size(); ++level) {
      const int height = inputs.maps[level].dim_size(1);
      cells += height * inputs.maps[level].dim_size(2) * inputs.batch;
      for (int image = 0; image < inputs.batch; ++image) {
        const std::vector<int>& group = groups[level * inputs.batch + image];
        for (int row = 0; row < height; row += kBandRows) {
          bands.push_back({static_cast<int>(level), image, row, std::min(row + kBandRows, height), &group});
        }
      }
    }
    const Prepared prepared = Prepare(context, inputs, rois);
    const int64_t size = OutputSize(attributes_, inputs.channels);
    const int64_t work = cells * inputs.channels + inputs.num_rois * size * 4;
    ParallelFor(context, bands.size(), work / bands.size() + 1, [&](int64_t begin, int64_t end) {
      Scratch scratch;
      for (int64_t b = begin; b < end; ++b) {
        FillBand(bands[b], inputs, rois, prepared, Data<T>(*upstream), &scratch, outputs[bands[b].level]);
      }
    });
  }

 private:
  // Computed once for each RoI: its taps, or the sample that was largest in each bin and channel.
  struct Prepared {
    std::vector<Taps> rows, columns;
    std::vector<int> winners;
  };

  Prepared Prepare(OpKernelContext* context, const Inputs& inputs, const std::vector<Roi>& rois) const {
    using Value = typename Layout<T>::Type;
    Prepared prepared;
    const int64_t size = OutputSize(attributes_, inputs.channels);
    if (attributes_.largest) {
      prepared.winners.resize(inputs.num_rois * size);
    } else {
      prepared.rows.resize(inputs.num_rois);
      prepared.columns.resize(inputs.num_rois);
    }
    ParallelFor(context, inputs.num_rois, attributes_.largest ? 16 * size : 2000, [&](int64_t begin, int64_t end) {
      Scratch scratch;
      for (int64_t r = begin; r < end; ++r) {
        if (attributes_.largest) {
          PoolLargest<Value>(rois[r], attributes_, inputs.channels, MapOf<T>(inputs, rois[r]), &scratch, nullptr,
                             prepared.winners.data() + r * size);
        } else {
          prepared.rows[r].Compute(rois[r].rows, attributes_.output_height);
          prepared.columns[r].Compute(rois[r].columns, attributes_.output_width);
        }
      }
    });
    return prepared;
  }

  template <typename Value>
  void FillBand(const Band& band, const Inputs& inputs, const std::vector<Roi>& rois, const Prepared& prepared,
                const Value* upstream, Scratch* scratch, Tensor* output) const {
    const int64_t line = inputs.maps[band.level].dim_size(2) * inputs.channels;
    const int64_t count = (band.end - band.begin) * line;
    const int64_t first = (band.image * inputs.maps[band.level].dim_size(1) + band.begin) * line;
    Value* const into = MutableData<T>(output) + first;
    float* const cells = BandCells(into, count, scratch);
    std::memset(cells, 0, count * sizeof(float));
    const int64_t size = OutputSize(attributes_, inputs.channels);
    for (const int r : *band.rois) {
      if (attributes_.largest) {
        SpreadLargest(rois[r], attributes_, inputs.channels, upstream + r * size, prepared.winners.data() + r * size,
                      band.begin, band.end, cells);
      } else {
        SpreadAverage(rois[r], prepared.rows[r], prepared.columns[r], inputs.channels, upstream + r * size, band.begin,
                      band.end, scratch, cells);
      }
    }
    if (static_cast<const void*>(cells) != into) BestChannelLoops<Value>().convert(cells, count, into);
  }

  // float32 is summed in place, 16-bit floats beside it.
  static float* BandCells(float* into, int64_t, Scratch*) { return into; }
  template <typename Value>
  static float* BandCells(Value*, int64_t count, Scratch* scratch) {
    scratch->band.resize(count);
    return scratch->band.data();
  }
};

#define MRCNN_KERAS_REGISTER(T)                                                                                       \
  REGISTER_KERNEL_BUILDER(                                                                                            \
      Name("MrcnnKeras>RoiAlign").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), RoiAlignCpu<T>);             \
  REGISTER_KERNEL_BUILDER(                                                                                            \
      Name("MrcnnKeras>RoiAlignGrad").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), RoiAlignGradCpu<T>);
MRCNN_KERAS_REGISTER(float)
MRCNN_KERAS_REGISTER(tensorflow::bfloat16)
MRCNN_KERAS_REGISTER(Eigen::half)
#undef MRCNN_KERAS_REGISTER

}  // namespace
}  // namespace mrcnn_keras
