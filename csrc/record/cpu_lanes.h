// ggml's CPU backend as lanes: one for each thread of its pool, preallocated, append-only, and it
// counts what it had to drop.

#pragma once

#include "record/clock.h"
#include "record/hooks.h"
#include "record/places.h"
#include "record/records.h"
#include "record/reduction.h"

#include <atomic>
#include <memory>

// What the hot path of one thread reads and writes, on cache lines of its own.
struct alignas(128) slmprof_thread {
    // The op that runs or has just run. It becomes an event when the thread arrives at its barrier.
    slmprof::OpEvent op{};
    bool             is_last = false;  // its end is the next op's begin
    // It has run and is no event yet. The collecting thread reads it too: it may pass the last
    // barrier before another thread has written down when it arrived there.
    std::atomic<bool> is_pending{ false };

    slmprof::OpEvent * next      = nullptr;
    slmprof::OpEvent * end       = nullptr;
    uint64_t           n_dropped = 0;
    uint32_t           run       = 0;      // tag of the run whose ops begin now
    bool               is_alone  = false;  // the graph runs on one thread
    bool               is_exact  = false;  // the clock is read in order, and at each resumption
    bool               resumes   = false;  // it waits at a barrier within an op

    slmprof::OpEvent * first = nullptr;
    std::unique_ptr<slmprof::OpEvent[]> events;

    // Of the first thread: what few ops have to tell beside their times.
    std::vector<slmprof::RoutingRecord> routings;

    size_t n_events() const { return static_cast<size_t>(next - first); }

    void note_experts(uint32_t n_experts) {
        if (routings.size() < routings.capacity()) {
            routings.push_back({ static_cast<uint32_t>(n_events()), n_experts });
        }
    }

    uint64_t read_clock() const {
        return __builtin_expect(is_exact, 0) ? slmprof::read_ticks_in_order() : slmprof::read_ticks();
    }

    // Ends the op and appends it to the buffer.
    void finish(uint64_t end_ticks, bool is_last_thread) {
        op.end_ticks = end_ticks;
        is_last      = is_last_thread;
        if (__builtin_expect(next != end, 1)) {
            *next++ = op;
        } else {
            n_dropped++;
        }
        is_pending.store(false, std::memory_order_release);
    }
};

namespace slmprof {

// ggml's name of the CPU.
std::string cpu_device_name();

class CpuLanes {
  public:
    // Room for `capacity` events on each of `n_threads` threads between two calls of `clear`.
    CpuLanes(int n_threads, size_t capacity, bool is_exact);

    // Makes room for at least `capacity` events on each thread. Only while nothing is recorded.
    void reserve(size_t capacity);

    // Adds a row for each thread.
    void list(LaneColumns & lanes, StringTable & strings) const;

    // For the hooks: by number of the thread.
    slmprof_thread * slots() { return slots_.data(); }

    // Around one step; in place of `end_step`, `abandon_step` makes it as if it had not begun.
    void begin_step();
    void end_step();
    void abandon_step();

    // True when one more step like the largest so far may not fit.
    bool is_nearly_full() const { return static_cast<size_t>(slots_[0].end - slots_[0].next) < 2 * largest_step_; }

    void begin_run(size_t run, bool is_alone);

    // Until every thread has written its last event down.
    void await_pending() const;

    // The events of a run on each lane, which lie one run after another: `lanes` are those of the run
    // before. Then what the first lane's events have routed.
    void          read_run(size_t run, std::vector<LaneEvents> & lanes) const;
    RoutingCursor read_routings();

    int64_t n_dropped() const;
    void    clear();
    void    add_memory(std::vector<AddressRange> & ranges) const;

  private:
    std::vector<slmprof_thread> slots_;
    std::vector<size_t>         n_events_at_step_;  // by thread
    size_t                      largest_step_ = 0;
};

}  // namespace slmprof
