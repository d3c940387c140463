// Stands in for CUDA's header, so that a C++ compiler takes kernels. Blocks run one after another; the threads of a
// block are coroutines, which change over where they wait for each other. So a missing wait shows as values that
// depend on the order of the threads, and one that not all threads reach is an error.
#ifndef MRCNN_KERAS_TESTS_CUDA_RUNTIME_H_
#define MRCNN_KERAS_TESTS_CUDA_RUNTIME_H_

#include <math.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <tuple>
#include <utility>
#include <vector>

#define __device__
#define __host__
#define __global__
#define __shared__ static
#define __syncthreads() cuda_on_cpu::Wait(__LINE__)
#define __ballot_sync(mask, vote) cuda_on_cpu::Ballot(__LINE__, vote)
#define __ffs(bits) __builtin_ffs(static_cast<int>(bits))

struct dim3 {
  unsigned int x, y, z;
  dim3(unsigned int x = 1, unsigned int y = 1, unsigned int z = 1) : x(x), y(y), z(z) {}
};
inline dim3 blockIdx(0, 0, 0), threadIdx(0, 0, 0), blockDim;

using cudaStream_t = void*;
using cudaError_t = const char*;
constexpr cudaError_t cudaSuccess = nullptr;

namespace cuda_on_cpu {

constexpr size_t kSharedBytes = 48 * 1024;
constexpr size_t kStackBytes = 64 * 1024;

struct Thread {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(kStackBytes);
  int place = 0;  // the line at which it waits
  bool done = false, vote = false;
};

inline std::vector<Thread> threads;
inline ucontext_t scheduler;
inline unsigned int running;
inline std::function<void()> body;
inline cudaError_t last_error = cudaSuccess;
inline bool backwards = false;  // the order of the threads

void ForgetShared();  // what an earlier block left in shared memory; defined where that is

inline void Wait(int place) {
  threads[running].place = place;
  swapcontext(&threads[running].context, &scheduler);
}

// All warps of a block vote at the same time, which is stricter than CUDA.
inline unsigned int Ballot(int place, bool vote) {
  threads[running].vote = vote;
  Wait(place);
  unsigned int votes = 0;
  const unsigned int first = running / 32 * 32;
  for (unsigned int i = 0; i < 32; ++i) votes |= static_cast<unsigned int>(threads[first + i].vote) << i;
  Wait(-place);
  return votes;
}

inline void Start() {
  body();
  threads[running].done = true;
}

// Runs every thread to where it waits next; false where all are done, or do not wait for each other.
inline bool RunOnce() {
  const unsigned int count = static_cast<unsigned int>(threads.size());
  for (unsigned int i = 0; i < count; ++i) {
    running = backwards ? count - 1 - i : i;
    threadIdx.x = running;
    swapcontext(&scheduler, &threads[running].context);
  }
  for (const Thread& thread : threads) {
    if (thread.done == threads[0].done && thread.place == threads[0].place) continue;
    last_error = "the threads of a block wait in different places";
    return false;
  }
  return !threads[0].done;
}

inline void RunBlock() {
  ForgetShared();
  for (Thread& thread : threads) {
    thread.done = false;
    thread.place = 0;
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack.data();
    thread.context.uc_stack.ss_size = thread.stack.size();
    thread.context.uc_link = &scheduler;
    makecontext(&thread.context, Start, 0);
  }
  while (RunOnce()) {
  }
}

// What kernel<<<grid, threads, shared, stream>>> is.
template <typename... Parameters>
struct Launch {
  void (*kernel)(Parameters...);
  dim3 grid;
  unsigned int block;
  size_t shared;

  void operator()(Parameters... arguments) const {
    if (grid.x == 0 || grid.y == 0 || block == 0) last_error = "invalid configuration argument";
    if (shared > kSharedBytes || block % 32 != 0) last_error = "the test has no such block";
    if (last_error != cudaSuccess) return;
    threads.resize(block);
    blockDim = dim3(block);
    body = [&] { kernel(arguments...); };
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y) {
      for (blockIdx.x = 0; blockIdx.x < grid.x && last_error == cudaSuccess; ++blockIdx.x) RunBlock();
    }
  }
};

template <typename... Parameters>
Launch<Parameters...> MakeLaunch(void (*kernel)(Parameters...), dim3 grid, unsigned int block, size_t shared,
                                 cudaStream_t) {
  return {kernel, grid, block, shared};
}

}  // namespace cuda_on_cpu

inline cudaError_t cudaGetLastError() { return std::exchange(cuda_on_cpu::last_error, cudaSuccess); }
inline const char* cudaGetErrorString(cudaError_t error) { return error; }

#endif  // MRCNN_KERAS_TESTS_CUDA_RUNTIME_H_
