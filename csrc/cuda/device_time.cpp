#include "cuda/device_time.h"

#include <algorithm>
#include <map>
#include <unordered_map>

namespace slmprof {
namespace {

// A kernel or copy within the window.
struct Work {
    Interval time;
    uint32_t stream, correlation;
};

template <typename Record>
std::vector<Work> work_of(const std::vector<Record> & records, uint32_t device, DeviceTime & result) {
    const Interval &  window = result.window;
    std::vector<Work> work;
    for (const Record & record : records) {
        if (record.device != device) {
            continue;
        }
        if (record.begin_ns == 0) {
            result.n_untimed++;
            continue;
        }
        const Interval time{ std::max(record.begin_ns, window.begin_ns), std::min(record.end_ns, window.end_ns) };
        if (time.begin_ns < time.end_ns) {
            result.n_cut += record.begin_ns < window.begin_ns || record.end_ns > window.end_ns ? 1 : 0;
            work.push_back({ time, record.stream, record.correlation });
        }
    }
    std::sort(work.begin(), work.end(), [](const Work & a, const Work & b) {
        return a.time.begin_ns != b.time.begin_ns ? a.time.begin_ns < b.time.begin_ns : a.time.end_ns < b.time.end_ns;
    });
    return work;
}

// Intervals in the order of their begin, without overlaps.
void unite(std::vector<Interval> & intervals, const Interval & next) {
    if (!intervals.empty() && next.begin_ns <= intervals.back().end_ns) {
        intervals.back().end_ns = std::max(intervals.back().end_ns, next.end_ns);
    } else {
        intervals.push_back(next);
    }
}

std::vector<Interval> union_of(const std::vector<Work> & work) {
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

std::map<uint32_t, std::vector<Interval>> by_stream(const std::vector<Work> & work) {
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

// What the device waits for between `begin` and the next kernel. The host's part comes first: the time
// until it begins to launch.
struct Wait {
    int64_t host_until_ns;
    GapKind then;
};

Wait wait_for(const Work * next, const Interval & gap, const std::unordered_map<uint32_t, Interval> & calls) {
    if (next == nullptr) {
        return { gap.end_ns, GapKind::host };
    }
    const auto call = calls.find(next->correlation);
    if (call == calls.end()) {
        return { gap.begin_ns, GapKind::unknown };
    }
    const bool was_ready = call->second.end_ns <= gap.begin_ns;
    return { std::clamp(call->second.begin_ns, gap.begin_ns, gap.end_ns), was_ready ? GapKind::device : GapKind::launch };
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

DeviceTime device_time(const Activity & activity, uint32_t device, const Interval & window) {
    DeviceTime result;
    result.window = window;
    const std::vector<Work>     kernels = work_of(activity.kernels, device, result);
    const std::vector<Work>     copies  = work_of(activity.copies, device, result);
    const std::vector<Interval> copying = union_of(copies);

    // The runtime's call contains the driver's, and both may have the correlation.
    std::unordered_map<uint32_t, Interval> calls;
    for (const CallRecord & call : activity.calls) {
        const auto [entry, is_new] = calls.try_emplace(call.correlation, Interval{ call.begin_ns, call.end_ns });
        if (!is_new) {
            entry->second.begin_ns = std::min(entry->second.begin_ns, call.begin_ns);
            entry->second.end_ns   = std::max(entry->second.end_ns, call.end_ns);
        }
    }

    int64_t at_ns   = window.begin_ns;
    auto    copy    = copying.begin();
    const auto fill = [&](int64_t until_ns, const Work * next) {
        const Interval gap{ at_ns, until_ns };
        while (copy != copying.end() && copy->end_ns <= gap.begin_ns) {
            ++copy;
        }
        if (gap.begin_ns < gap.end_ns) {
            split_gap(result, gap, wait_for(next, gap, calls), copy, copying.end());
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

}  // namespace slmprof
