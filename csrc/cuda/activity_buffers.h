// The buffers that CUPTI writes its records to: a fixed number, so that a long step cannot take all
// memory. CUPTI asks for them and gives them back on threads of its own; they are read between steps.

#pragma once

#include "record/places.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace slmprof {

class ActivityBuffers {
  public:
    struct Filled {
        uint8_t * data;
        size_t    used_bytes;
    };

    ActivityBuffers(size_t n_buffers, size_t size_bytes);
    ~ActivityBuffers();  // leaves behind what CUPTI still writes to
    ActivityBuffers(const ActivityBuffers &)             = delete;
    ActivityBuffers & operator=(const ActivityBuffers &) = delete;

    // On any thread. An empty buffer, or null where all are in use: what CUPTI then has no room for, it drops
    // and counts.
    uint8_t * request();
    void      complete(uint8_t * buffer, size_t used_bytes);
    void      add_dropped(int64_t n);

    size_t size_bytes() const { return size_bytes_; }

    // Those that have been filled, in the order in which they were completed. Each must be given back.
    std::vector<Filled> take_filled();
    void                give_back(uint8_t * buffer);

    // Since the last call.
    int64_t take_n_dropped();

    // True when less than half are empty: read them before the next step begins.
    bool is_nearly_full() const;

    std::vector<AddressRange> memory() const;

    // Whether CUPTI still has any.
    bool has_lent() const;

  private:
    struct Buffer {
        std::unique_ptr<uint8_t[]> data;
        bool                       is_lent = false;  // to CUPTI
    };

    Buffer * find(const uint8_t * data);

    const size_t size_bytes_;

    mutable std::mutex     mutex_;  // guards what follows
    std::vector<Buffer>    buffers_;
    std::vector<uint8_t *> empty_;
    std::vector<Filled>    filled_;
    int64_t                n_dropped_ = 0;
};

}  // namespace slmprof
