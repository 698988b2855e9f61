#include "cuda/device_timeline.h"

#include <algorithm>
#include <map>
#include <utility>

namespace slmprof {
namespace {

// Intervals in the order of their begin, without overlaps.
void unite(std::vector<Interval> & intervals, const Interval & next) {
    if (!intervals.empty() && next.begin_ns <= intervals.back().end_ns) {
        intervals.back().end_ns = std::max(intervals.back().end_ns, next.end_ns);
    } else {
        intervals.push_back(next);
    }
}

template <typename Work> std::vector<Interval> union_of(const std::vector<Work> & work) {
    std::vector<Interval> intervals;
    for (const Work & item : work) {
        unite(intervals, item.time);
    }
    return intervals;
}

int64_t total_ns(const std::vector<Interval> & intervals) {
    int64_t sum = 0;
    for (const Interval & interval : intervals) {
        sum += interval.length_ns();
    }
    return sum;
}

template <typename Work> std::map<uint32_t, std::vector<Interval>> by_stream(const std::vector<Work> & work) {
    std::map<uint32_t, std::vector<Interval>> streams;
    for (const Work & item : work) {
        unite(streams[item.stream], item.time);
    }
    return streams;
}

void add_gap(DeviceTime & result, int64_t begin_ns, int64_t end_ns, GapKind kind) {
    if (begin_ns < end_ns) {
        result.gaps.push_back({ { begin_ns, end_ns }, kind });
        result.gap_ns[static_cast<size_t>(kind)] += end_ns - begin_ns;
    }
}

// Whether a copy between two devices, which is listed with its source, goes to this one.
bool is_sent_to(const DeviceCopyRecord & copy, uint32_t device) {
    return copy.kind == static_cast<uint8_t>(CopyKind::peer_to_peer) && copy.peer == device;
}

bool is_sent_to(const KernelRecord &, uint32_t) { return false; }

// What the device waits for in a gap. The host's part comes first: the time until it begins to launch.
struct Wait {
    int64_t host_until_ns;
    GapKind then;
};

Wait wait_for(uint32_t correlation, const Interval & gap, const std::unordered_map<uint32_t, Interval> & calls) {
    const auto call = calls.find(correlation);
    if (call == calls.end()) {
        return { gap.begin_ns, GapKind::unknown };
    }
    const bool was_ready = call->second.end_ns <= gap.begin_ns;
    return { std::clamp(call->second.begin_ns, gap.begin_ns, gap.end_ns),
             was_ready ? GapKind::device : GapKind::launch };
}

// A part of a gap in which nothing is copied.
void add_wait(DeviceTime & result, int64_t begin_ns, int64_t end_ns, const Wait & wait) {
    const int64_t until_ns = std::clamp(wait.host_until_ns, begin_ns, end_ns);
    add_gap(result, begin_ns, until_ns, GapKind::host);
    add_gap(result, until_ns, end_ns, wait.then);
}

// `copies` from the first that has not ended before the gap.
void split_gap(DeviceTime & result, const Interval & gap, const Wait & wait, std::vector<Interval>::const_iterator copy,
               std::vector<Interval>::const_iterator last) {
    int64_t at_ns = gap.begin_ns;
    for (; copy != last && copy->begin_ns < gap.end_ns; ++copy) {
        const int64_t begin_ns = std::max(copy->begin_ns, at_ns);
        const int64_t end_ns   = std::min(copy->end_ns, gap.end_ns);
        add_wait(result, at_ns, begin_ns, wait);
        add_gap(result, begin_ns, end_ns, GapKind::copy);
        at_ns = end_ns;
    }
    add_wait(result, at_ns, gap.end_ns, wait);
}

}  // namespace

DeviceTimeline::DeviceTimeline(const Activity & activity, uint32_t device)
    : kernels_(work_of(activity.kernels, device)), copies_(work_of(activity.copies, device)) {
    // The runtime's call contains the driver's, and both may have the correlation.
    for (const CallRecord & call : activity.calls) {
        const auto [entry, is_new] = calls_.try_emplace(call.correlation, Interval{ call.begin_ns, call.end_ns });
        if (!is_new) {
            entry->second.begin_ns = std::min(entry->second.begin_ns, call.begin_ns);
            entry->second.end_ns   = std::max(entry->second.end_ns, call.end_ns);
        }
    }
}

DeviceTime DeviceTimeline::within(const Interval & window) const {
    DeviceTime result;
    result.window = window;
    const std::vector<Work>     kernels = cut(kernels_, window, result.n_cut);
    const std::vector<Work>     copies  = cut(copies_, window, result.n_cut);
    const std::vector<Interval> copying = union_of(copies);

    int64_t    at_ns = window.begin_ns;
    auto       copy  = copying.begin();
    const auto fill  = [&](int64_t until_ns, const Work * next) {
        const Interval gap{ at_ns, until_ns };
        while (copy != copying.end() && copy->end_ns <= gap.begin_ns) {
            ++copy;
        }
        if (gap.begin_ns < gap.end_ns) {
            const Wait wait =
                next != nullptr ? wait_for(next->correlation, gap, calls_) : Wait{ gap.end_ns, GapKind::host };
            split_gap(result, gap, wait, copy, copying.end());
        }
    };
    for (const Work & kernel : kernels) {
        fill(kernel.time.begin_ns, &kernel);
        unite(result.busy, kernel.time);
        at_ns = std::max(at_ns, kernel.time.end_ns);
    }
    fill(window.end_ns, nullptr);

    result.kernel_ns = total_ns(result.busy);
    result.copy_ns   = total_ns(copying);
    std::map<uint32_t, StreamTime> streams;
    for (const auto & [stream, intervals] : by_stream(kernels)) {
        streams.try_emplace(stream, StreamTime{ stream, 0, 0 }).first->second.kernel_ns = total_ns(intervals);
    }
    for (const auto & [stream, intervals] : by_stream(copies)) {
        streams.try_emplace(stream, StreamTime{ stream, 0, 0 }).first->second.copy_ns = total_ns(intervals);
    }
    for (const auto & [number, stream] : streams) {
        result.streams.push_back(stream);
    }
    return result;
}

template <typename Record>
std::vector<DeviceTimeline::Work> DeviceTimeline::work_of(const std::vector<Record> & records, uint32_t device) {
    std::vector<Work> work;
    for (const Record & record : records) {
        if (record.device == device && record.begin_ns == 0) {
            n_untimed_++;
        } else if (record.device == device || (is_sent_to(record, device) && record.begin_ns != 0)) {
            work.push_back({ { record.begin_ns, record.end_ns }, record.stream, record.correlation, 0 });
        }
    }
    std::sort(work.begin(), work.end(), [](const Work & a, const Work & b) {
        return std::pair(a.time.begin_ns, a.time.end_ns) < std::pair(b.time.begin_ns, b.time.end_ns);
    });
    int64_t last_end_ns = 0;
    for (Work & item : work) {
        last_end_ns = item.last_end_ns = std::max(last_end_ns, item.time.end_ns);
    }
    return work;
}

// The part of it that lies in the window.
std::vector<DeviceTimeline::Work> DeviceTimeline::cut(const std::vector<Work> & work, const Interval & window,
                                                      int64_t & n_cut) {
    const auto first = std::partition_point(work.begin(), work.end(),
                                            [&](const Work & item) { return item.last_end_ns <= window.begin_ns; });
    std::vector<Work> within;
    for (auto item = first; item != work.end() && item->time.begin_ns < window.end_ns; ++item) {
        const Interval & time = item->time;
        Work             part = *item;
        part.time             = { std::max(time.begin_ns, window.begin_ns), std::min(time.end_ns, window.end_ns) };
        if (part.time.begin_ns < part.time.end_ns) {
            n_cut += time.begin_ns < window.begin_ns || time.end_ns > window.end_ns ? 1 : 0;
            within.push_back(part);
        }
    }
    return within;
}

}  // namespace slmprof
