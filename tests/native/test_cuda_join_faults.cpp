// Records that are missing, out of order, without times, or of something that nobody saw.

#include "cuda_script.h"

#include <doctest/doctest.h>

#include <vector>

using namespace slmprof;
using namespace slmprof::test;

namespace {

using Numbers = std::vector<int32_t>;

constexpr uint32_t k_captured = 4, k_exec = 5;

// Two nodes and a fused group, of four kernels.
const std::vector<Group> k_groups = { { 0, { 10 } }, { 1, { 20, 21 } }, { 3, { 30 }, 2 } };
const Numbers            k_nodes  = { 0, 1, 1, 3 };

int64_t count(const Joined & joined, JoinWay way) { return joined.report.n_kernels[static_cast<size_t>(way)]; }

}  // namespace

TEST_SUITE_BEGIN("cuda join faults");

TEST_CASE("by order alone nothing is joined that has another name") {
    CudaScript    script;
    ReplayRecords how;
    how.first_local = 100;
    script.begin_run(9);
    script.capture(k_captured, k_groups);
    script.instantiate(k_exec, k_captured, false);
    script.replay(k_exec, k_captured, how);
    script.activity.kernels[2].name = 99;
    const Joined joined             = script.join();
    CHECK(joined.kernels.node == Numbers(4, -1));
    CHECK(count(joined, JoinWay::none) == 4);
    CHECK(joined.report.rate() == 0.0);
}

TEST_CASE("where ids and order disagree, the ids are believed and it is counted") {
    CudaScript script;
    script.replay_first(9, k_captured, k_exec, k_groups);
    std::swap(script.activity.kernels[1].begin_ns, script.activity.kernels[3].begin_ns);
    std::swap(script.activity.kernels[1].end_ns, script.activity.kernels[3].end_ns);
    const Joined joined = script.join();
    CHECK(joined.kernels.node == k_nodes);
    CHECK(joined.report.n_ordered == 4);
    CHECK(joined.report.n_misplaced == 2);
    CHECK(joined.report.n_misnamed == 0);
}

TEST_CASE("a replayed kernel that is not the captured one is counted") {
    CudaScript script;
    script.replay_first(9, k_captured, k_exec, k_groups);
    script.activity.kernels[2].name = 99;
    const Joined joined             = script.join();
    CHECK(joined.kernels.node == k_nodes);
    CHECK(joined.report.n_misnamed == 1);
    CHECK(joined.report.n_misplaced == 0);
}

TEST_CASE("without the names of what was captured none is missed") {
    CudaScript script;
    script.begin_run(9);
    script.capture(k_captured, k_groups, false);
    script.instantiate(k_exec, k_captured);
    script.replay(k_exec, k_captured);
    CHECK(script.join().report.n_misnamed == 0);
}

TEST_CASE("a replay of a graph that nobody saw captured is not guessed") {
    CudaScript script;
    script.begin_run(9);
    script.capture(k_captured, k_groups);  // of which only the names are used
    script.begin_run(9);
    const uint32_t call = script.call(script.issues.begin_replay(script.nodes.launch(k_exec, 77)));
    script.add_kernel(call, 10, k_exec, node_id(k_exec, 0));
    const Joined joined = script.join();
    CHECK(joined.kernels.node == Numbers{ -1 });
    CHECK(joined.kernels.run == Numbers{ 1 });
    CHECK(joined.report.n_unordered_replays == 1);
}

TEST_CASE("a graph that was updated from an unseen capture has no known nodes") {
    CudaScript script;
    script.begin_run(9);
    script.capture(k_captured, k_groups);
    script.instantiate(k_exec, k_captured);
    const uint32_t call = script.call(script.issues.begin_replay(script.nodes.launch(k_exec, 77)));
    script.add_kernel(call, 10, k_exec, node_id(k_exec, 0));
    CHECK(script.join().kernels.node == Numbers{ -1 });
}

TEST_CASE("a record of a replay that lost its correlation is joined, but to no run") {
    CudaScript script;
    bool       sees_clones = true;
    SUBCASE("by what was cloned") {}
    SUBCASE("by the graph that it names") { sees_clones = false; }
    script.begin_run(9);
    script.capture(k_captured, k_groups);
    script.instantiate(k_exec, k_captured, sees_clones);
    script.replay(k_exec, k_captured);
    script.activity.externals.clear();
    const Joined joined = script.join();
    CHECK(joined.kernels.node == k_nodes);
    CHECK(joined.kernels.run == Numbers(4, -1));
    CHECK(joined.kernels.graph == Numbers(4, 9));
}

TEST_CASE("dropped records cost a replay its order, not the others their nodes") {
    CudaScript script;
    script.replay_first(9, k_captured, k_exec, k_groups);
    script.activity.kernels.erase(script.activity.kernels.begin() + 1);
    script.activity.counts.n_dropped = 1;
    const Joined joined              = script.join();
    CHECK(joined.kernels.node == Numbers{ 0, 1, 3 });
    CHECK(joined.report.n_ordered == 0);
    CHECK(joined.report.n_unordered_replays == 1);
    CHECK(joined.report.counts.n_dropped == 1);
}

TEST_CASE("records without times are joined and counted, and take no time") {
    CudaScript script;
    script.begin_run(9);
    script.launch({ 0, { 10 } });
    KernelRecord untimed = script.activity.kernels[0];
    untimed.begin_ns     = 0;
    script.activity.add(untimed);
    KernelRecord reversed = script.activity.kernels[0];
    reversed.end_ns       = reversed.begin_ns - 1;
    script.activity.add(reversed);
    const Joined joined = script.join();
    CHECK(joined.kernels.node == Numbers{ 0, 0, 0 });
    CHECK(joined.report.counts.n_untimed == 1);
    CHECK(joined.report.counts.n_reversed == 1);
    CHECK(joined.report.kernel_ns == CudaScript::k_kernel_ns);
}

TEST_CASE("a replay with an untimed record has no order") {
    CudaScript script;
    script.replay_first(9, k_captured, k_exec, k_groups);
    script.activity.kernels[3].begin_ns = script.activity.kernels[3].end_ns = 0;
    const Joined joined = script.join();
    CHECK(joined.report.n_ordered == 0);
    CHECK(joined.kernels.node == k_nodes);
}

TEST_CASE("a run of another graph than the captured one is counted") {
    CudaScript script;
    script.begin_run(9);
    script.capture(k_captured, k_groups);
    script.instantiate(k_exec, k_captured);
    script.begin_run(12);
    script.replay(k_exec, k_captured);
    const Joined joined = script.join();
    CHECK(joined.report.n_other_graph == 4);
    CHECK(joined.kernels.graph == Numbers(4, 12));
}

TEST_CASE("an issue that has been cleared is nobody's") {
    CudaScript script;
    script.begin_run(9);
    const uint64_t before = script.issues.begin(0);
    script.issues.clear();
    script.begin_run(9);
    const uint64_t after = script.issues.begin(3);
    CHECK(after == before + 1);
    script.add_kernel(script.call(before), 10);
    script.add_kernel(script.call(after), 10);
    script.add_kernel(script.call(after + 1), 10);
    CHECK(script.join().kernels.node == Numbers{ -1, 3, -1 });
}

TEST_SUITE_END();
