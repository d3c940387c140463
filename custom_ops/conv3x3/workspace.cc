#include "workspace.h"

#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>

namespace mrcnn_keras {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kLargestIdle = size_t{192} << 20;  // bytes that may lie idle

struct Idle {
  std::mutex mutex;
  std::multimap<size_t, float*> buffers;  // by bytes
  size_t bytes = 0;
};

Idle& TheIdle() {
  static Idle* const idle = new Idle;  // never destroyed: threads may outlive static objects
  return *idle;
}

}  // namespace

Workspace::Workspace(size_t count) {
  const size_t bytes = (count * sizeof(float) + kAlignment - 1) / kAlignment * kAlignment;
  Idle& idle = TheIdle();
  {
    const std::lock_guard<std::mutex> lock(idle.mutex);
    const auto found = idle.buffers.lower_bound(bytes);
    if (found != idle.buffers.end()) {
      capacity_ = found->first;
      data_ = found->second;
      idle.bytes -= capacity_;
      idle.buffers.erase(found);
      return;
    }
  }
  capacity_ = bytes;
  data_ = static_cast<float*>(std::aligned_alloc(kAlignment, bytes));
}

Workspace::~Workspace() {
  if (data_ == nullptr) return;
  Idle& idle = TheIdle();
  const std::lock_guard<std::mutex> lock(idle.mutex);
  idle.buffers.emplace(capacity_, data_);
  idle.bytes += capacity_;
  while (idle.bytes > kLargestIdle) {  // the smallest go first: a large one serves every call
    idle.bytes -= idle.buffers.begin()->first;
    std::free(idle.buffers.begin()->second);
    idle.buffers.erase(idle.buffers.begin());
  }
}

}  // namespace mrcnn_keras
