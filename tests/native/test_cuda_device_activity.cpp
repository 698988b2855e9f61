// Joined records, run by run and on the host's clock.

#include "cuda/device_activity.h"
#include "cuda_script.h"

#include <doctest/doctest.h>

#include <numeric>

using namespace slmprof;
using namespace slmprof::test;

namespace {

// The host's clock is 100 ns ahead of the device's, and known within 3.
ClockAlignment ahead() {
    ClockAlignment clocks;
    clocks.host_base_ns = 100;
    clocks.error_ns     = 3;
    return clocks;
}

DeviceRun run_of(int32_t number, int64_t begin_ns, int64_t end_ns, bool is_end_seen = true, uint32_t device = 0) {
    return { { number, 5, begin_ns, end_ns, is_end_seen }, device };
}

int64_t sum(const std::array<int64_t, k_n_gap_kinds> & gaps) { return std::accumulate(gaps.begin(), gaps.end(), int64_t(0)); }

int64_t kernel_ns(const RunActivity & run) {
    int64_t total = 0;
    for (const NodeKernel & kernel : run.kernels) {
        total += kernel.end_ns - kernel.begin_ns;
    }
    return total;
}

}  // namespace

TEST_SUITE_BEGIN("device activity");

TEST_CASE("kernels and gaps fill the time of a run, on the host's clock") {
    CudaScript script;
    script.begin_run(5);
    script.launch({ 2, { 0, 1 } });
    script.launch({ 4, { 2 }, 1 });
    const int64_t first = script.activity.kernels.front().begin_ns, last = script.activity.kernels.back().end_ns;
    const DeviceActivity made =
        sort_by_run(script.activity, script.join(), { run_of(0, first + 90, last + 130) }, ahead(), true);
    REQUIRE(made.runs.size() == 1);
    const RunActivity & run = made.runs[0];
    REQUIRE(run.kernels.size() == 3);
    CHECK(run.kernels[0].begin_ns == first + 100);
    CHECK(run.kernels[0].node == 2);
    CHECK(run.kernels[1].name == 1);
    CHECK(run.kernels[2].node == 4);
    CHECK(run.kernels[2].n_fused == 1);
    CHECK(kernel_ns(run) + sum(run.gap_ns) == run.end_ns - run.begin_ns);
    CHECK(made.summary.kernel_ns == 3 * CudaScript::k_kernel_ns);
    CHECK(made.summary.joined_ns == made.summary.kernel_ns);
    CHECK(made.summary.n_launched == 3);
    CHECK(made.summary.clock_error_ns == 3);
    CHECK(made.strays.n_rows == 0);
    CHECK(made.launches.n_rows == 3);
    CHECK(sort_by_run(script.activity, script.join(), { run_of(0, 0, 1) }, ahead(), false).launches.n_rows == 0);
}

TEST_CASE("a run whose end nobody saw ends with its last kernel") {
    CudaScript script;
    script.begin_run(5);
    script.launch({ 0, { 0 } });
    const int64_t end = script.activity.kernels.back().end_ns + 100;
    const auto    run = sort_by_run(script.activity, script.join(), { run_of(0, 50, 50, false) }, ahead(), true).runs[0];
    CHECK(run.begin_ns == 50);
    CHECK(run.end_ns == end);
    CHECK(kernel_ns(run) == CudaScript::k_kernel_ns);
}

TEST_CASE("a run begins when the one before has ended, or with its first kernel") {
    CudaScript script;
    script.begin_run(5);
    script.launch({ 0, { 0 } });
    script.begin_run(5);
    script.launch({ 0, { 0 } });
    const int64_t end = script.activity.kernels[0].end_ns + 100;
    const Joined  joined = script.join();
    const auto    queued =
        sort_by_run(script.activity, joined, { run_of(0, 50, 50, false), run_of(1, 60, end + 500) }, ahead(), true);
    CHECK(queued.runs[1].begin_ns == end);
    CHECK(queued.runs[1].kernels.size() == 1);
    // Of another device: it waited for the first one's result, or began beside it.
    const int64_t begin = script.activity.kernels[1].begin_ns + 100;
    const auto    beside = sort_by_run(script.activity, joined,
                                       { run_of(0, 50, begin + 5), run_of(1, 60, end + 500, true, 1) }, ahead(), true);
    CHECK(beside.runs[1].begin_ns == begin);
}

TEST_CASE("what belongs to no op is listed by name, and what belongs to an abandoned step left out") {
    CudaScript script;
    script.begin_run(5);
    script.launch({ 0, { 0 } });
    script.begin_run(5);
    script.launch({ 0, { 0 } });  // of a step that was abandoned
    script.add_kernel(9999, 7);
    script.add_kernel(9998, 7);
    const DeviceActivity made = sort_by_run(script.activity, script.join(), { run_of(0, 0, 100000) }, ahead(), true);
    REQUIRE(made.strays.n_rows == 1);
    CHECK(made.strays.name[0] == 7);
    CHECK(made.strays.calls[0] == 2);
    CHECK(made.strays.total_ns[0] == 2 * CudaScript::k_kernel_ns);
    CHECK(made.summary.n_stray == 2);
    CHECK(made.summary.kernel_ns == 3 * CudaScript::k_kernel_ns);
    CHECK(made.summary.joined_ns == CudaScript::k_kernel_ns);
    CHECK(made.launches.n_rows == 3);
    CHECK(made.launches.run == std::vector<int32_t>{ 0, -1, -1 });
}

TEST_CASE("replays are counted by how they were joined, and kernels without times take none") {
    CudaScript script;
    script.replay_first(5, 10, 20, { { 0, { 0 } }, { 3, { 1, 2 } } });
    script.activity.kernels.back().begin_ns = script.activity.kernels.back().end_ns = 0;
    const DeviceActivity made = sort_by_run(script.activity, script.join(), { run_of(0, 0, 100000) }, ahead(), true);
    CHECK(made.summary.n_by_clone + made.summary.n_by_node + made.summary.n_by_local == 3);
    CHECK(made.launches.begin_ns.back() == 0);
    CHECK(kernel_ns(made.runs[0]) == 2 * CudaScript::k_kernel_ns);
    CHECK(kernel_ns(made.runs[0]) + sum(made.runs[0].gap_ns) == made.runs[0].end_ns - made.runs[0].begin_ns);
}

TEST_CASE("copies and fills are summed by kind, with those of an op and without those of an abandoned step") {
    CudaScript script;
    const auto add = [&](CopyKind kind, uint32_t correlation, int64_t took_ns) {
        DeviceCopyRecord made;
        made.kind        = static_cast<uint8_t>(kind);
        made.begin_ns    = script.now_ns;
        made.end_ns      = script.now_ns + took_ns;
        made.size_bytes  = 64;
        made.correlation = correlation;
        script.activity.add(made);
    };
    script.begin_run(5);
    add(CopyKind::fill, script.call(script.issues.begin(0)), 10);
    add(CopyKind::fill, script.call(script.issues.begin(1)), 20);
    add(CopyKind::fill, 9999, 30);  // of no op
    add(CopyKind::host_to_device, 9999, 40);
    script.begin_run(5);
    add(CopyKind::host_to_device, script.call(script.issues.begin(0)), 50);  // of a step that was abandoned
    const TransferColumns sums =
        sort_by_run(script.activity, script.join(), { run_of(0, 0, 100000) }, ahead(), true).transfers;
    REQUIRE(sums.n_rows == 2);
    CHECK(sums.kind == std::vector<uint8_t>{ static_cast<uint8_t>(CopyKind::host_to_device),
                                             static_cast<uint8_t>(CopyKind::fill) });
    CHECK(sums.calls == std::vector<int64_t>{ 1, 3 });
    CHECK(sums.n_joined == std::vector<int64_t>{ 0, 2 });
    CHECK(sums.size_bytes == std::vector<int64_t>{ 64, 192 });
    CHECK(sums.total_ns == std::vector<int64_t>{ 40, 60 });
}

TEST_CASE("where records were dropped the cause of a gap is not known") {
    CudaScript script;
    script.begin_run(5);
    script.launch({ 0, { 0 } });
    const std::vector<DeviceRun> runs = { run_of(0, 0, 100000) };
    const auto known = sort_by_run(script.activity, script.join(), runs, ahead(), true).runs[0].gap_ns;
    script.activity.counts.n_dropped = 1;
    const auto gaps = sort_by_run(script.activity, script.join(), runs, ahead(), true).runs[0].gap_ns;
    CHECK(known[static_cast<size_t>(GapKind::unknown)] < sum(known));
    CHECK(gaps[static_cast<size_t>(GapKind::unknown)] == sum(gaps));
    CHECK(sum(gaps) == sum(known));
}

TEST_SUITE_END();
