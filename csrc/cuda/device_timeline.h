// Where a device's time goes within a window, as a step is: kernels, and the gaps between them by what the
// device waited for. Every nanosecond of the window is in exactly one of them.

#pragma once

#include "cuda/activity.h"
#include "record/kernel_tracer.h"

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace slmprof {

struct Interval {
    int64_t begin_ns = 0, end_ns = 0;

    int64_t length_ns() const { return end_ns - begin_ns; }
};

struct Gap {
    Interval time;
    GapKind  kind;
};

struct StreamTime {
    uint32_t stream;
    int64_t  kernel_ns, copy_ns;  // in which at least one of the stream's ran
};

struct DeviceTime {
    Interval                           window;
    std::vector<Interval>              busy;  // with kernels, on any stream
    std::vector<Gap>                   gaps;  // in order; with `busy` they tile the window
    std::vector<StreamTime>            streams;
    int64_t                            kernel_ns = 0;  // of `busy`: the GPU time of the window
    int64_t                            copy_ns   = 0;  // with copies on any stream, whether kernels ran or not
    std::array<int64_t, k_n_gap_kinds> gap_ns{};       // by kind
    int64_t                            n_cut = 0;      // records that the window cuts
};

// What one device did, by time.
class DeviceTimeline {
  public:
    DeviceTimeline(const Activity & activity, uint32_t device);

    // In a window on CUPTI's clock.
    DeviceTime within(const Interval & window) const;

    // Kernels and copies without times, which are in no window.
    int64_t n_untimed() const { return n_untimed_; }

  private:
    struct Work {
        Interval time;
        uint32_t stream, correlation;
        int64_t  last_end_ns;  // of this one and all before it, so that a window's first can be searched for
    };

    template <typename Record> std::vector<Work> work_of(const std::vector<Record> & records, uint32_t device);
    static std::vector<Work> cut(const std::vector<Work> & work, const Interval & window, int64_t & n_cut);

    int64_t                                n_untimed_ = 0;     // counted while the next are made
    std::vector<Work>                      kernels_, copies_;  // in the order of their begin
    std::unordered_map<uint32_t, Interval> calls_;             // by correlation
};

}  // namespace slmprof
