// Devices beside the CPU as lanes, one for each: when this process told them to run a graph, and when they had.

#pragma once

#include "record/kernel_tracer.h"
#include "record/places.h"
#include "record/records.h"

#include "ggml-backend.h"

#include <vector>

namespace slmprof {

// Whether a device is of ggml's backend of this name: RPC, BLAS.
bool is_of_backend(ggml_backend_dev_t device, const char * name);

struct DeviceLane {
    ggml_backend_dev_t device;
    int32_t            name;         // of the device
    int32_t            row;          // in the table of lanes
    bool               is_async;     // it goes on while this process does, which then asks for its end
    bool               tells_end;    // to be synchronized with is to have run everything
    bool               tells_ops;    // hooks in its backend tell of each op
    bool               is_traced;    // a tracer tells of its kernels
    int64_t            pending = -1; // the run whose end is not known yet
    bool               is_read = false;  // a result is on its way behind that run
    uint64_t           op_begin_ticks = 0;
    std::vector<OpEvent> events;
    size_t               n_events_at_step = 0, largest_step = 0;
    int64_t              n_dropped = 0;

    // Whether nothing tells of its ops, so that op passes run them one by one.
    bool is_opaque() const { return !tells_ops && !is_traced; }

    // Where there is no more room, the event is counted.
    void append(uint64_t begin_ticks, uint64_t end_ticks, int node, uint32_t path);
};

class DeviceLanes {
  public:
    // Who traces some of them, if anybody does.
    void set_tracer(const KernelTracer * tracer) { tracer_ = tracer; }

    // Room for so many events on each between two calls of `clear`. Only while nothing is recorded.
    void reserve(size_t capacity);

    // The lane of a backend's device, made when it is seen first: `lanes` get a row then.
    int32_t find(ggml_backend_t backend, int32_t n_lanes_before, LaneColumns & lanes, StringTable & strings);

    DeviceLane &       at(int32_t number) { return lanes_[static_cast<size_t>(number)]; }
    const DeviceLane & at(int32_t number) const { return lanes_[static_cast<size_t>(number)]; }

    // The one whose device this is, or null.
    DeviceLane * find_known(ggml_backend_dev_t device);

    std::vector<DeviceLane> & all() { return lanes_; }

    // Whether there is one that runs its ops one by one in op passes, for want of another way to observe them.
    bool has_opaque() const;

    // Around one step; in place of `end_step`, `abandon_step` makes it as if it had not begun.
    void begin_step();
    void end_step();
    void abandon_step();
    bool is_nearly_full() const;

    void clear();
    void add_memory(std::vector<AddressRange> & ranges) const;

  private:
    std::vector<DeviceLane> lanes_;
    const KernelTracer *    tracer_   = nullptr;
    size_t                  capacity_ = 0;
};

}  // namespace slmprof
