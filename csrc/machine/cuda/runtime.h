// What CUDA's runtime lends, given back at the end of a scope; what it refuses is an exception of one line.

#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <stdexcept>
#include <string>

namespace slmprof::cuda {

inline void check(cudaError_t status, const char * what) {
    if (status != cudaSuccess) {
        // An error that is not sticky would be told again by the next call that asks.
        cudaGetLastError();
        throw std::runtime_error("CUDA cannot " + std::string(what) + ": " + cudaGetErrorString(status));
    }
}

class Stream {
  public:
    Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "make a stream"); }
    ~Stream() { cudaStreamDestroy(stream_); }
    Stream(const Stream &)             = delete;
    Stream & operator=(const Stream &) = delete;

    operator cudaStream_t() const { return stream_; }

  private:
    cudaStream_t stream_ = nullptr;
};

class Event {
  public:
    Event() { check(cudaEventCreate(&event_), "make an event"); }
    ~Event() { cudaEventDestroy(event_); }
    Event(const Event &)             = delete;
    Event & operator=(const Event &) = delete;

    operator cudaEvent_t() const { return event_; }

  private:
    cudaEvent_t event_ = nullptr;
};

class DeviceMemory {
  public:
    explicit DeviceMemory(size_t size_bytes) { check(cudaMalloc(&memory_, size_bytes), "allocate memory on the device"); }
    ~DeviceMemory() { cudaFree(memory_); }
    DeviceMemory(const DeviceMemory &)             = delete;
    DeviceMemory & operator=(const DeviceMemory &) = delete;

    template <typename T> T * as() const { return static_cast<T *>(memory_); }

  private:
    void * memory_ = nullptr;
};

// Memory of the host that the system cannot move, so that the device copies it by itself.
class PinnedMemory {
  public:
    explicit PinnedMemory(size_t size_bytes) { check(cudaMallocHost(&memory_, size_bytes), "pin memory of the host"); }
    ~PinnedMemory() { cudaFreeHost(memory_); }
    PinnedMemory(const PinnedMemory &)             = delete;
    PinnedMemory & operator=(const PinnedMemory &) = delete;

    void * get() const { return memory_; }

  private:
    void * memory_ = nullptr;
};

}  // namespace slmprof::cuda
