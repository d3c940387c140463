// CUDA kernels of RoIAlign, RoIWarp and RoIPool; see roi_align_cuda.h. Threads of a block run along the channels, which
// are contiguous.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "roi_align_cuda.h"

namespace mrcnn_keras {
namespace {

constexpr int kThreads = 128;
constexpr int kTile = 4;  // the gradient's blocks own kTile x kTile cells

__device__ float ToFloat(float value) { return value; }
__device__ float ToFloat(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ float ToFloat(__half value) { return __half2float(value); }
__device__ void FromFloat(float value, float* out) { *out = value; }
__device__ void FromFloat(float value, __nv_bfloat16* out) { *out = __float2bfloat16_rn(value); }
__device__ void FromFloat(float value, __half* out) { *out = __float2half_rn(value); }

struct Place {
  bool good;
  int level;
  int image;
  Axis rows, columns;
};

__device__ Place FindPlace(const CudaCall& call, int64_t roi) {
  Place place;
  place.level = call.level[roi];
  place.image = call.image_index[roi];
  place.good = place.level >= 0 && place.level < call.num_levels && place.image >= 0 && place.image < call.batch;
  float box[4];
  for (int i = 0; i < 4; ++i) {
    box[i] = call.boxes[4 * roi + i];
    place.good = place.good && isfinite(box[i]);
  }
  if (!place.good) return place;
  const float scale = call.scales[place.level];
  const Attributes& attributes = call.attributes;
  place.rows = MakeAxis(box[1], box[3], scale, call.heights[place.level], attributes.output_height, attributes);
  place.columns = MakeAxis(box[0], box[2], scale, call.widths[place.level], attributes.output_width, attributes);
  return place;
}

// One block for each bin of each RoI.
template <typename T>
__global__ void PoolKernel(const CudaCall call, T* pooled, int* winners) {
  const int across = blockIdx.x % call.attributes.output_width;
  const int down = blockIdx.x / call.attributes.output_width % call.attributes.output_height;
  const int64_t roi = blockIdx.x / call.attributes.output_width / call.attributes.output_height;
  const Place place = FindPlace(call, roi);
  const int64_t out = static_cast<int64_t>(blockIdx.x) * call.channels;
  if (!place.good) {
    for (int64_t c = threadIdx.x; c < call.channels; c += blockDim.x) {
      if (pooled != nullptr) FromFloat(nanf(""), pooled + out + c);
      if (winners != nullptr) winners[out + c] = -1;
    }
    return;
  }
  const Axis &rows = place.rows, &columns = place.columns;
  const int64_t width = columns.extent;
  const T* const map =
      static_cast<const T*>(call.maps[place.level]) + place.image * rows.extent * width * call.channels;
  int row_begin, row_end, column_begin, column_end;
  rows.Window(down, &row_begin, &row_end);
  columns.Window(across, &column_begin, &column_end);
  const int64_t samples = static_cast<int64_t>(rows.samples) * columns.samples;

  for (int64_t c = threadIdx.x; c < call.channels; c += blockDim.x) {
    float sum = 0.0f, best = -INFINITY;
    int winner = -1;
    int64_t inside = 0;
    for (int i = row_begin; i < row_end; ++i) {
      const float y = rows.Position(down, i);
      if (!rows.Counts(y)) continue;
      const Neighbours row(y, rows.extent);
      for (int j = column_begin; j < column_end; ++j) {
        const float x = columns.Position(across, j);
        if (!columns.Counts(x)) continue;
        const Neighbours column(x, columns.extent);
        const auto cell = [&](int a, int b) { return ToFloat(map[(a * width + b) * call.channels + c]); };
        const float value = rows.whole
                                ? cell(row.low, column.low)
                                : (1.0f - row.fraction) * (1.0f - column.fraction) * cell(row.low, column.low) +
                                      (1.0f - row.fraction) * column.fraction * cell(row.low, column.high) +
                                      row.fraction * (1.0f - column.fraction) * cell(row.high, column.low) +
                                      row.fraction * column.fraction * cell(row.high, column.high);
        sum += value;
        ++inside;
        if (!(value > best)) continue;
        best = value;
        winner = (i - row_begin) * (column_end - column_begin) + (j - column_begin);
      }
    }
    if (inside == 0 || (inside < samples && best < 0.0f)) {  // samples outside the map are 0
      best = 0.0f;
      winner = -1;
    }
    const float average = sum / static_cast<float>(samples > 0 ? samples : 1);
    if (pooled != nullptr) FromFloat(call.attributes.largest ? best : average, pooled + out + c);
    if (winners != nullptr) winners[out + c] = winner;
  }
}

// Whether samples of the axis can reach the cells [begin, begin + kTile).
__device__ bool Reaches(const Axis& axis, int bins, int begin) {
  const float end = axis.BinStart(bins);
  const float last = static_cast<float>(axis.extent - 1);
  const float low = fminf(fmaxf(fminf(axis.start, end), 0.0f), last);
  const float high = fminf(fmaxf(fmaxf(axis.start, end), 0.0f), last);
  return axis.samples > 0 && low < static_cast<float>(begin + kTile) && high > static_cast<float>(begin - 1);
}

// What a bin takes from a cell, the mean over the bin's samples.
__device__ float Weight(const Axis& axis, int bin, int cell) {
  int begin, end;
  axis.Window(bin, &begin, &end);
  float weight = 0.0f;
  for (int i = begin; i < end; ++i) {
    const float position = axis.Position(bin, i);
    if (!axis.Counts(position)) continue;
    const Neighbours cells(position, axis.extent);
    if (cells.low == cell) weight += 1.0f - cells.fraction;
    if (cells.high == cell) weight += cells.fraction;
  }
  return weight / static_cast<float>(axis.samples);
}

__device__ void AverageParts(const Place& place, const CudaCall& call, float* shared, int top, int left) {
  const int height = call.attributes.output_height, width = call.attributes.output_width;
  for (int k = threadIdx.x; k < (height + width) * kTile; k += blockDim.x) {
    const int bin = k / kTile, cell = k % kTile;
    shared[k] = bin < height ? Weight(place.rows, bin, top + cell) : Weight(place.columns, bin - height, left + cell);
  }
}

__device__ bool AllZero(const float* weights) {
  for (int k = 0; k < kTile; ++k) {
    if (weights[k] != 0.0f) return false;
  }
  return true;
}

template <typename T>
__device__ void AddAverage(const T* upstream, const CudaCall& call, const float* shared, float total[kTile][kTile]) {
  const int height = call.attributes.output_height, width = call.attributes.output_width;
  for (int down = 0; down < height; ++down) {
    const float* const rows = shared + down * kTile;
    if (AllZero(rows)) continue;
    for (int across = 0; across < width; ++across) {
      const float* const columns = shared + (height + across) * kTile;
      if (AllZero(columns)) continue;
      const float gradient = ToFloat(upstream[(static_cast<int64_t>(down) * width + across) * call.channels]);
#pragma unroll
      for (int y = 0; y < kTile; ++y) {
#pragma unroll
        for (int x = 0; x < kTile; ++x) total[y][x] += rows[y] * columns[x] * gradient;
      }
    }
  }
}

template <typename T>
__device__ void AddLargest(const T* upstream, const int* winners, const Place& place, const CudaCall& call, int top,
                           int left, float total[kTile][kTile]) {
  for (int down = 0; down < call.attributes.output_height; ++down) {
    int row_begin, row_end;
    place.rows.Window(down, &row_begin, &row_end);
    for (int across = 0; across < call.attributes.output_width; ++across) {
      int column_begin, column_end;
      place.columns.Window(across, &column_begin, &column_end);
      const int64_t bin = (static_cast<int64_t>(down) * call.attributes.output_width + across) * call.channels;
      const int winner = winners[bin];
      if (winner < 0) continue;
      const int samples = column_end - column_begin;
      const Neighbours row(place.rows.Position(down, row_begin + winner / samples), place.rows.extent);
      const Neighbours column(place.columns.Position(across, column_begin + winner % samples), place.columns.extent);
      const float gradient = ToFloat(upstream[bin]);
#pragma unroll
      for (int y = 0; y < kTile; ++y) {
        const float down_weight =
            (row.low == top + y ? 1.0f - row.fraction : 0.0f) + (row.high == top + y ? row.fraction : 0.0f);
#pragma unroll
        for (int x = 0; x < kTile; ++x) {
          const float across_weight = (column.low == left + x ? 1.0f - column.fraction : 0.0f) +
                                      (column.high == left + x ? column.fraction : 0.0f);
          total[y][x] += down_weight * across_weight * gradient;
        }
      }
    }
  }
}

// gradient: the thread's channel of the image's first cell.
template <typename T>
__device__ void WriteTile(const float total[kTile][kTile], const CudaCall& call, int level, int top, int left,
                          T* gradient) {
#pragma unroll
  for (int y = 0; y < kTile; ++y) {
#pragma unroll
    for (int x = 0; x < kTile; ++x) {
      if (top + y >= call.heights[level] || left + x >= call.widths[level]) continue;
      const int64_t cell = static_cast<int64_t>(top + y) * call.widths[level] + left + x;
      FromFloat(total[y][x], gradient + cell * call.channels);
    }
  }
}

// One block for each tile of cells of one image's map. Its threads look through the RoIs together for those that reach
// the tile, then each adds them up, in order, for its channel.
template <typename T>
__global__ void GradKernel(const CudaCall call, int level, int tiles_down, int tiles_across, const T* upstream,
                           const int* winners, T* gradient) {
  extern __shared__ float weights[];
  __shared__ unsigned int hits[kThreads / 32];
  const int left = blockIdx.x % tiles_across * kTile;
  const int top = blockIdx.x / tiles_across % tiles_down * kTile;
  const int image = blockIdx.x / tiles_across / tiles_down;
  const int64_t channel = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x;
  const bool busy = channel < call.channels;
  const int64_t size =
      static_cast<int64_t>(call.attributes.output_height) * call.attributes.output_width * call.channels;
  float total[kTile][kTile] = {};

  for (int64_t first = 0; first < call.num_rois; first += kThreads) {
    const int64_t mine = first + threadIdx.x;
    bool hit = false;
    if (mine < call.num_rois && call.level[mine] == level && call.image_index[mine] == image) {
      const Place place = FindPlace(call, mine);
      hit = place.good && Reaches(place.rows, call.attributes.output_height, top) &&
            Reaches(place.columns, call.attributes.output_width, left);
    }
    const unsigned int ballot = __ballot_sync(0xffffffffu, hit);
    if (threadIdx.x % 32 == 0) hits[threadIdx.x / 32] = ballot;
    __syncthreads();
    for (int warp = 0; warp < kThreads / 32; ++warp) {
      for (unsigned int left_over = hits[warp]; left_over != 0; left_over &= left_over - 1) {
        const int64_t roi = first + warp * 32 + __ffs(left_over) - 1;
        const Place place = FindPlace(call, roi);
        if (call.attributes.largest) {
          const int64_t at = roi * size + channel;
          if (busy) AddLargest(upstream + at, winners + at, place, call, top, left, total);
          continue;
        }
        AverageParts(place, call, weights, top, left);
        __syncthreads();
        if (busy) AddAverage(upstream + roi * size + channel, call, weights, total);
        __syncthreads();
      }
    }
    __syncthreads();
  }

  const int64_t cells = static_cast<int64_t>(call.heights[level]) * call.widths[level];
  if (busy) WriteTile(total, call, level, top, left, gradient + image * cells * call.channels + channel);
}

const char* LastError() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

template <typename T>
const char* Pool(const CudaCall& call, void* pooled, int* winners) {
  const int64_t blocks = call.num_rois * call.attributes.output_height * call.attributes.output_width;
  if (blocks > 0x7fffffff) return "too many RoIs";
  PoolKernel<T><<<static_cast<unsigned int>(blocks), kThreads, 0, static_cast<cudaStream_t>(call.stream)>>>(
      call, static_cast<T*>(pooled), winners);
  return LastError();
}

template <typename T>
const char* Grad(const CudaCall& call, const void* upstream, const int* winners, void* const* gradients) {
  const size_t shared = (call.attributes.output_height + call.attributes.output_width) * kTile * sizeof(float);
  for (int level = 0; level < call.num_levels; ++level) {
    const int down = (call.heights[level] + kTile - 1) / kTile, across = (call.widths[level] + kTile - 1) / kTile;
    const dim3 grid(static_cast<unsigned int>(call.batch * down * across),
                    static_cast<unsigned int>((call.channels + kThreads - 1) / kThreads));
    GradKernel<T><<<grid, kThreads, shared, static_cast<cudaStream_t>(call.stream)>>>(
        call, level, down, across, static_cast<const T*>(upstream), winners, static_cast<T*>(gradients[level]));
    if (const char* error = LastError()) return error;
  }
  return nullptr;
}

}  // namespace

const char* LaunchRoiAlign(const CudaCall& call, void* pooled, int* winners) {
  switch (call.type) {
    case CudaType::kFloat:
      return Pool<float>(call, pooled, winners);
    case CudaType::kBFloat16:
      return Pool<__nv_bfloat16>(call, pooled, winners);
    default:
      return Pool<__half>(call, pooled, winners);
  }
}

const char* LaunchRoiAlignGrad(const CudaCall& call, const void* upstream, const int* winners, void* const* gradients) {
  switch (call.type) {
    case CudaType::kFloat:
      return Grad<float>(call, upstream, winners, gradients);
    case CudaType::kBFloat16:
      return Grad<__nv_bfloat16>(call, upstream, winners, gradients);
    default:
      return Grad<__half>(call, upstream, winners, gradients);
  }
}

}  // namespace mrcnn_keras
