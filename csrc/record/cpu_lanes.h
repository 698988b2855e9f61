// ggml's CPU backend as lanes: one for each thread of its pool, preallocated, append-only, and it
// counts what it had to drop.

#pragma once

#include "record/hot_path.h"
#include "record/places.h"
#include "record/records.h"
#include "record/reduction.h"

#include <memory>

struct ggml_backend_device;

namespace slmprof {

// ggml's name of the CPU.
std::string cpu_device_name();

// Whether that is the device; none is the CPU as well, whose buffers may have none.
bool is_cpu(ggml_backend_device * device);

class CpuLanes {
  public:
    // Room for `capacity` events on each of `n_threads` threads between two calls of `clear`.
    CpuLanes(int n_threads, size_t capacity, bool is_exact);

    // Makes room for at least `capacity` events on each thread. Only while nothing is recorded.
    void reserve(size_t capacity);

    // Adds a row for each thread.
    void list(LaneColumns & lanes, StringTable & strings) const;

    int32_t n_lanes() const { return static_cast<int32_t>(slots_.size()); }

    // For the hooks: by number of the thread.
    slmprof_thread * slots() { return slots_.data(); }

    // Around one step; in place of `end_step`, `abandon_step` makes it as if it had not begun.
    void begin_step();
    void end_step();
    void abandon_step();

    // True when one more step like the largest so far may not fit.
    bool is_nearly_full() const { return static_cast<size_t>(slots_[0].end - slots_[0].next) < 2 * largest_step_; }

    void begin_run(bool is_alone);

    // Until every thread has written its last event down.
    void await_pending() const;

    // Of the first thread: what few ops have to tell beside their times.
    void note_experts(uint32_t n_experts);

    // The events on each lane of the run with this number among the CPU's own, which lie one run after another: `lanes`
    // are those of the run before. Then what the first lane's events have routed.
    void          read_run(size_t run, std::vector<LaneEvents> & lanes) const;
    RoutingCursor read_routings();

    int64_t n_dropped() const;
    void    clear();
    void    add_memory(std::vector<AddressRange> & ranges) const;

  private:
    static size_t n_events(const slmprof_thread & thread) { return static_cast<size_t>(thread.next - thread.first); }

    // By thread.
    std::vector<slmprof_thread>             slots_;
    std::vector<std::unique_ptr<OpEvent[]>> events_;
    std::vector<size_t>                     n_events_at_step_;

    std::vector<RoutingRecord> routings_;
    size_t                     largest_step_ = 0;
    size_t                     n_runs_       = 0;
    size_t                     n_runs_at_step_ = 0;
};

}  // namespace slmprof
