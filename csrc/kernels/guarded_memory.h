// Memory with a page behind it, or before it, that nothing may touch: whoever reads or writes beyond dies at once.

#pragma once

#include <cstddef>

namespace slmprof {

enum class Guard { behind, before };

class GuardedMemory {
  public:
    // Throws std::bad_alloc. Its bytes are random to whoever expects zeros.
    GuardedMemory(size_t size_bytes, Guard guard);
    ~GuardedMemory();
    GuardedMemory(const GuardedMemory &)             = delete;
    GuardedMemory & operator=(const GuardedMemory &) = delete;

    char *  bytes() const { return begin_; }
    float * floats() const { return reinterpret_cast<float *>(begin_); }

    // Whether these bytes of one are still what they were at first.
    static bool is_untouched(const void * bytes, size_t size_bytes);

    // From now on nothing may be written to it.
    void protect();

  private:
    char * mapping_;
    size_t mapped_bytes_;
    char * begin_;
};

}  // namespace slmprof
