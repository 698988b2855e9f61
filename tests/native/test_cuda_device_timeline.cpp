// A device's time in a window: nothing is lost between kernels and gaps, and each gap has its cause.

#include "cuda/device_timeline.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

using namespace slmprof;

namespace {

constexpr Interval k_window{ 1000, 2000 };

KernelRecord kernel(int64_t begin_ns, int64_t end_ns, uint32_t correlation = 0, uint32_t stream = 7,
                    uint32_t device = 0) {
    KernelRecord made;
    made.begin_ns    = begin_ns;
    made.end_ns      = end_ns;
    made.correlation = correlation;
    made.stream      = stream;
    made.device      = device;
    return made;
}

DeviceCopyRecord copy(int64_t begin_ns, int64_t end_ns, uint32_t stream = 7, uint32_t device = 0) {
    DeviceCopyRecord made;
    made.begin_ns = begin_ns;
    made.end_ns   = end_ns;
    made.stream   = stream;
    made.device   = device;
    return made;
}

CallRecord call(int64_t begin_ns, int64_t end_ns, uint32_t correlation) {
    CallRecord made;
    made.begin_ns    = begin_ns;
    made.end_ns      = end_ns;
    made.correlation = correlation;
    return made;
}

DeviceTime device_time(const Activity & activity, uint32_t device, const Interval & window) {
    return DeviceTimeline(activity, device).within(window);
}

int64_t gap_ns(const DeviceTime & time, GapKind kind) { return time.gap_ns[static_cast<size_t>(kind)]; }

// Busy intervals and gaps, merged: whether they tile the window.
bool tiles(const DeviceTime & time) {
    size_t  busy = 0, gap = 0;
    int64_t at_ns = time.window.begin_ns;
    while (busy < time.busy.size() || gap < time.gaps.size()) {
        if (busy < time.busy.size() && time.busy[busy].begin_ns == at_ns) {
            at_ns = time.busy[busy++].end_ns;
        } else if (gap < time.gaps.size() && time.gaps[gap].time.begin_ns == at_ns) {
            at_ns = time.gaps[gap++].time.end_ns;
        } else {
            return false;
        }
    }
    return at_ns == time.window.end_ns;
}

int64_t total_ns(const DeviceTime & time) {
    int64_t sum = time.kernel_ns;
    for (const int64_t part : time.gap_ns) {
        sum += part;
    }
    return sum;
}

}  // namespace

TEST_SUITE_BEGIN("cuda device timeline");

TEST_CASE("a window without work is the host's") {
    const DeviceTime time = device_time({}, 0, k_window);
    CHECK(time.kernel_ns == 0);
    CHECK(gap_ns(time, GapKind::host) == 1000);
    CHECK(tiles(time));
}

TEST_CASE("streams overlap in the union, not in their own times") {
    Activity activity;
    activity.add(kernel(1100, 1300, 1, 7));
    activity.add(kernel(1200, 1400, 2, 8));
    activity.add(kernel(1250, 1280, 3, 8));
    const DeviceTime time = device_time(activity, 0, k_window);
    CHECK(time.kernel_ns == 300);
    REQUIRE(time.streams.size() == 2);
    CHECK(time.streams[0].kernel_ns == 200);
    CHECK(time.streams[1].kernel_ns == 200);
    CHECK(tiles(time));
}

TEST_CASE("a gap is the host's until it begins to launch, then the launch's") {
    Activity activity;
    activity.add(kernel(1000, 1100, 1));
    activity.add(kernel(1200, 2000, 2));
    activity.calls = { call(900, 950, 1), call(1140, 1160, 2) };
    const DeviceTime time = device_time(activity, 0, k_window);
    CHECK(gap_ns(time, GapKind::host) == 40);
    CHECK(gap_ns(time, GapKind::launch) == 60);
    CHECK(total_ns(time) == 1000);
    CHECK(tiles(time));
}

TEST_CASE("a launch that is under way when the gap begins is the launch's from there on") {
    Activity activity;
    activity.add(kernel(1000, 1100, 1));
    activity.add(kernel(1200, 2000, 2));
    activity.calls = { call(900, 950, 1), call(1050, 1101, 2) };
    const DeviceTime time = device_time(activity, 0, k_window);
    CHECK(gap_ns(time, GapKind::launch) == 100);
    CHECK(gap_ns(time, GapKind::host) == 0);
}

TEST_CASE("a launch that has returned leaves the gap to the device") {
    Activity activity;
    activity.add(kernel(1000, 1100, 1));
    activity.add(kernel(1103, 2000, 1));  // the next node of the same replay
    activity.calls = { call(900, 950, 1) };
    const DeviceTime time = device_time(activity, 0, k_window);
    CHECK(gap_ns(time, GapKind::device) == 3);
    CHECK(tiles(time));
    activity.calls[0].end_ns = 1100;  // just so
    CHECK(gap_ns(device_time(activity, 0, k_window), GapKind::device) == 3);
    activity.calls[0].end_ns = 1101;
    CHECK(gap_ns(device_time(activity, 0, k_window), GapKind::launch) == 3);
}

TEST_CASE("of the runtime's call and the driver's within, the outer one counts") {
    Activity activity;
    activity.add(kernel(1200, 2000, 2));
    activity.calls = { call(1120, 1130, 2), call(1100, 1150, 2), call(1110, 1120, 2) };
    const DeviceTime time = device_time(activity, 0, k_window);
    CHECK(gap_ns(time, GapKind::host) == 100);
    CHECK(gap_ns(time, GapKind::launch) == 100);
    activity.add(kernel(1000, 1140, 1));
    CHECK(gap_ns(device_time(activity, 0, k_window), GapKind::launch) == 60);
}

TEST_CASE("a gap before a kernel whose call is not on record is unknown") {
    Activity activity;
    activity.add(kernel(1200, 2000, 2));
    CHECK(gap_ns(device_time(activity, 0, k_window), GapKind::unknown) == 200);
}

TEST_CASE("a copy between devices keeps both from computing") {
    Activity         activity;
    DeviceCopyRecord sent = copy(1100, 1150);
    sent.kind             = static_cast<uint8_t>(CopyKind::peer_to_peer);
    sent.peer             = 1;
    activity.add(sent);
    for (const uint32_t device : { 0, 1 }) {
        const DeviceTime time = device_time(activity, device, k_window);
        CHECK(gap_ns(time, GapKind::copy) == 50);
        CHECK(tiles(time));
    }
    CHECK(gap_ns(device_time(activity, 2, k_window), GapKind::copy) == 0);
}

TEST_CASE("copies are taken out of a gap, wherever in it they lie") {
    Activity activity;
    activity.add(kernel(1000, 1100, 1));
    activity.add(kernel(1500, 1600, 2));
    activity.calls = { call(900, 950, 1), call(1300, 1310, 2) };
    activity.add(copy(1080, 1150));  // begins under a kernel
    activity.add(copy(1250, 1350));  // spans the launch's begin
    activity.add(copy(1340, 1360, 9));
    activity.add(copy(1590, 1700));  // ends in the last gap
    const DeviceTime time = device_time(activity, 0, k_window);
    CHECK(gap_ns(time, GapKind::copy) == 50 + 110 + 100);
    CHECK(gap_ns(time, GapKind::host) == 100 + 300);
    CHECK(gap_ns(time, GapKind::launch) == 140);
    CHECK(time.copy_ns == 70 + 110 + 110);
    CHECK(time.kernel_ns == 200);
    CHECK(total_ns(time) == 1000);
    CHECK(tiles(time));
    REQUIRE(time.streams.size() == 2);
    CHECK(time.streams[0].copy_ns == 70 + 100 + 110);
    CHECK(time.streams[1].copy_ns == 20);
}

TEST_CASE("records of other devices, without times, and beyond the window") {
    Activity activity;
    activity.add(kernel(1100, 1200, 1, 7, 1));
    activity.add(kernel(0, 0, 2));
    activity.add(kernel(900, 1010, 3));
    activity.add(kernel(1990, 2100, 4));
    activity.add(kernel(2100, 2200, 5));
    activity.add(copy(0, 5));
    const DeviceTime time = device_time(activity, 0, k_window);
    CHECK(time.kernel_ns == 20);
    CHECK(DeviceTimeline(activity, 0).n_untimed() == 2);
    CHECK(time.n_cut == 2);
    CHECK(tiles(time));
    CHECK(device_time(activity, 1, k_window).kernel_ns == 100);
}

TEST_CASE("whatever runs whenever, the window is conserved") {
    std::mt19937 random(12);
    const auto   below = [&random](int64_t limit) {
        return static_cast<int64_t>(random() % static_cast<uint64_t>(limit));
    };
    for (int round = 0; round < 300; round++) {
        Activity activity;
        for (int64_t i = below(20); i > 0; i--) {
            const int64_t begin_ns = 950 + below(1100);
            activity.add(kernel(begin_ns, begin_ns + below(120), static_cast<uint32_t>(below(8)),
                                static_cast<uint32_t>(below(3))));
        }
        for (int64_t i = below(8); i > 0; i--) {
            const int64_t begin_ns = 950 + below(1100);
            activity.add(copy(begin_ns, begin_ns + below(200), static_cast<uint32_t>(below(3))));
        }
        for (int64_t i = below(8); i > 0; i--) {
            const int64_t begin_ns = 900 + below(1100);
            activity.calls.push_back(call(begin_ns, begin_ns + below(60), static_cast<uint32_t>(below(8))));
        }
        const DeviceTime time = device_time(activity, 0, k_window);
        CHECK_MESSAGE(tiles(time), "round " << round);
        CHECK(total_ns(time) == k_window.length_ns());
        int64_t in_gaps = 0;
        for (const Gap & gap : time.gaps) {
            in_gaps += gap.time.length_ns();
        }
        CHECK(in_gaps + time.kernel_ns == k_window.length_ns());
        // Windows that follow each other have the kernel time of the one that they are.
        const DeviceTimeline timeline(activity, 0);
        const int64_t        at_ns = 1000 + below(1000);
        const DeviceTime     before = timeline.within({ 1000, at_ns }), after = timeline.within({ at_ns, 2000 });
        CHECK(before.kernel_ns + after.kernel_ns == time.kernel_ns);
        CHECK(before.copy_ns + after.copy_ns == time.copy_ns);
    }
}

TEST_CASE("a long kernel is found from any window that it reaches into") {
    Activity activity;
    activity.add(kernel(100, 1500, 1));
    activity.add(kernel(200, 300, 2));
    activity.add(kernel(400, 450, 3, 8));
    CHECK(device_time(activity, 0, k_window).kernel_ns == 500);
    CHECK(device_time(activity, 0, k_window).n_cut == 1);
    CHECK(device_time(activity, 0, { 1500, 1600 }).kernel_ns == 0);
}

TEST_SUITE_END();
