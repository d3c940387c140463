// Memory that calls of an operation pass on to each other: fetched anew from the system it would cost a page fault for
// each of thousands of pages, at every call.
#ifndef MRCNN_KERAS_CONV3X3_WORKSPACE_H_
#define MRCNN_KERAS_CONV3X3_WORKSPACE_H_

#include <cstddef>

namespace mrcnn_keras {

// `count` floats, aligned to cache lines, not set to anything; they go back when the object ends.
class Workspace {
 public:
  explicit Workspace(size_t count);
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  float* data() const { return data_; }  // null where there is no such memory

 private:
  float* data_;
  size_t capacity_;
};

}  // namespace mrcnn_keras

#endif  // MRCNN_KERAS_CONV3X3_WORKSPACE_H_
