// What ran on devices, joined to ggml's nodes: launched directly and replayed.

#include "cuda_script.h"

#include <doctest/doctest.h>

#include <vector>

using namespace slmprof;
using namespace slmprof::test;

namespace {

using Numbers = std::vector<int32_t>;

constexpr uint32_t k_captured = 4, k_recaptured = 6, k_exec = 5, k_other_exec = 8;

// Two nodes and a fused group, of four kernels.
const std::vector<Group> k_groups = { { 0, { 10 } }, { 1, { 20, 21 } }, { 3, { 30 }, 2 } };
const Numbers            k_nodes  = { 0, 1, 1, 3 };

int64_t count(const Joined & joined, JoinWay way) { return joined.report.n_kernels[static_cast<size_t>(way)]; }

Numbers repeated(const Numbers & numbers, int n_times) {
    Numbers all;
    for (int i = 0; i < n_times; i++) {
        all.insert(all.end(), numbers.begin(), numbers.end());
    }
    return all;
}

}  // namespace

TEST_SUITE_BEGIN("cuda joiner");

TEST_CASE("what is launched directly belongs to what was issued then") {
    CudaScript script;
    const auto run = script.begin_run(9);
    for (const Group & group : k_groups) {
        script.launch(group);
    }
    const Joined joined = script.join();
    CHECK(joined.kernels.node == k_nodes);
    CHECK(joined.kernels.n_fused == std::vector<uint16_t>{ 0, 0, 0, 2 });
    CHECK(joined.kernels.run == Numbers(4, run));
    CHECK(joined.kernels.graph == Numbers(4, 9));
    CHECK(count(joined, JoinWay::launch) == 4);
    CHECK(joined.report.rate() == 1.0);
    CHECK(joined.report.strays.empty());
}

TEST_CASE("a kernel of no issue is listed by name with its time, and lowers the rate") {
    CudaScript script;
    script.begin_run(9);
    script.launch({ 0, { 10, 10, 10 } });
    script.add_kernel(900, 77);  // a call that nobody issued
    script.add_kernel(901, 78);
    script.activity.kernels.back().end_ns += 5;
    script.add_kernel(902, 77);
    const Joined joined = script.join();
    CHECK(joined.kernels.node == Numbers{ 0, 0, 0, -1, -1, -1 });
    CHECK(joined.kernels.run == Numbers{ 0, 0, 0, -1, -1, -1 });
    REQUIRE(joined.report.strays.size() == 2);
    CHECK(joined.report.strays[0].name == 77);
    CHECK(joined.report.strays[0].n == 2);
    CHECK(joined.report.strays[0].total_ns == 20);
    CHECK(joined.report.strays[1].total_ns == 15);
    CHECK(joined.report.rate() == doctest::Approx(30.0 / 65.0));
}

TEST_CASE("replays belong to the nodes that were captured, in each run anew") {
    CudaScript script;
    script.replay_first(9, k_captured, k_exec, k_groups);
    const auto   run    = script.begin_run(9);
    script.replay(k_exec, k_captured);
    const Joined joined = script.join();
    CHECK(joined.kernels.node == repeated(k_nodes, 2));
    CHECK(joined.kernels.n_fused == std::vector<uint16_t>{ 0, 0, 0, 2, 0, 0, 0, 2 });
    CHECK(joined.kernels.run == Numbers{ 0, 0, 0, 0, run, run, run, run });
    CHECK(joined.kernels.graph == Numbers(8, 9));
    CHECK(count(joined, JoinWay::clone) == 8);
    CHECK(joined.report.n_ordered == 8);
    CHECK(joined.report.n_misplaced == 0);
    CHECK(joined.report.n_misnamed == 0);
    CHECK(joined.report.n_unordered_replays == 0);
}

TEST_CASE("replays after a collection still find what was captured before it") {
    CudaScript script;
    script.begin_run(9);
    script.capture(k_captured, k_groups);
    script.instantiate(k_exec, k_captured);
    script.issues.clear();
    script.nodes.forget_removed();
    const auto run = script.begin_run(9);
    script.replay(k_exec, k_captured);
    const Joined joined = script.join();
    CHECK(joined.kernels.node == k_nodes);
    CHECK(joined.kernels.run == Numbers(4, run));
    CHECK(run == 1);
}

TEST_CASE("each way of telling a replayed node") {
    CudaScript    script;
    ReplayRecords how;
    bool          sees_clones = true;
    JoinWay       way         = JoinWay::clone;
    SUBCASE("what CUPTI says it was updated from") {
        how.tells_sources = true;
        how.first_local   = 100;
        way               = JoinWay::source;
    }
    SUBCASE("what it was cloned from") {}
    SUBCASE("the half of its id that a clone keeps") {
        sees_clones = false;
        way         = JoinWay::local;
    }
    SUBCASE("the same, where the graph's half is missing") {
        how.drops_graph = true;
        way             = JoinWay::local;
    }
    SUBCASE("its place in the order") {
        sees_clones     = false;
        how.first_local = 100;
        way             = JoinWay::order;
    }
    script.begin_run(9);
    script.capture(k_captured, k_groups);
    script.instantiate(k_exec, k_captured, sees_clones);
    script.replay(k_exec, k_captured, how);
    const Joined joined = script.join();
    CHECK(joined.kernels.node == k_nodes);
    CHECK(count(joined, way) == 4);
    CHECK(joined.report.n_ordered == 4);
    CHECK(joined.report.n_misplaced == 0);
}

TEST_CASE("an updated graph runs the nodes of what it was updated from") {
    // The second capture issues the same kernels as other nodes.
    const std::vector<Group> moved = { { 5, { 10 } }, { 6, { 20, 21 } }, { 8, { 30 }, 1 } };
    CudaScript               script;
    script.replay_first(9, k_captured, k_exec, k_groups);
    script.begin_run(11);
    script.capture(k_recaptured, moved);
    script.nodes.remove_graph(k_captured);
    script.replay(k_exec, k_recaptured);
    script.begin_run(11);
    script.replay(k_exec, k_recaptured);
    const Joined joined = script.join();
    CHECK(joined.kernels.node == Numbers{ 0, 1, 1, 3, 5, 6, 6, 8, 5, 6, 6, 8 });
    CHECK(joined.kernels.graph == Numbers{ 9, 9, 9, 9, 11, 11, 11, 11, 11, 11, 11, 11 });
    CHECK(joined.report.n_misplaced == 0);
    CHECK(joined.report.n_other_graph == 0);
    CHECK(joined.report.rate() == 1.0);
}

TEST_CASE("after a failed update the graph that replaces it is the new one") {
    const std::vector<Group> others = { { 0, { 40 } }, { 2, { 41 } } };
    CudaScript               script;
    script.replay_first(9, k_captured, k_exec, k_groups);
    script.begin_run(11);
    script.capture(k_recaptured, others);
    script.nodes.remove_exec(k_exec);
    script.instantiate(k_other_exec, k_recaptured);
    script.replay(k_other_exec, k_recaptured);
    const Joined joined = script.join();
    CHECK(joined.kernels.node == Numbers{ 0, 1, 1, 3, 0, 2 });
    CHECK(count(joined, JoinWay::clone) == 6);
}

TEST_CASE("on several streams the ids still tell, the order does not") {
    CudaScript script;
    script.replay_first(9, k_captured, k_exec, k_groups);
    script.activity.kernels[1].stream   = 8;
    script.activity.kernels[1].begin_ns = script.activity.kernels[0].begin_ns;
    const Joined joined                 = script.join();
    CHECK(joined.kernels.node == k_nodes);
    CHECK(joined.report.n_unordered_replays == 1);
    CHECK(joined.report.n_misplaced == 0);
}

TEST_CASE("several devices replay at once, each its own graph") {
    const std::vector<Group> others = { { 2, { 40 } }, { 4, { 41 } } };
    CudaScript               script;
    script.begin_run(9, 0);
    script.capture(k_captured, k_groups);
    script.instantiate(k_exec, k_captured);
    script.begin_run(11, 1);
    script.capture(k_recaptured, others);
    script.instantiate(k_other_exec, k_recaptured);
    const auto first = script.begin_run(9, 0);
    script.replay(k_exec, k_captured);
    const auto second = script.begin_run(11, 1);
    script.now_ns     = 1005;  // while the first is still under way
    script.replay(k_other_exec, k_recaptured);
    const Joined joined = script.join();
    CHECK(joined.kernels.node == Numbers{ 0, 1, 1, 3, 2, 4 });
    CHECK(joined.kernels.run == Numbers{ first, first, first, first, second, second });
    CHECK(script.issues.device_of(first) == 0);
    CHECK(script.issues.device_of(second) == 1);
    CHECK(joined.report.n_ordered == 6);
    CHECK(joined.report.n_misplaced == 0);
}

TEST_CASE("a graph that a library launches within an issue belongs to that node") {
    CudaScript script;
    script.begin_run(9);
    const uint32_t call = script.call(script.issues.begin(6));
    script.add_kernel(call, 50, 90, node_id(90, 0));
    script.add_kernel(call, 51, 90, node_id(90, 1));
    const Joined joined = script.join();
    CHECK(joined.kernels.node == Numbers{ 6, 6 });
    CHECK(count(joined, JoinWay::launch) == 2);
}

TEST_CASE("copies and fills are joined in the same ways") {
    CudaScript script;
    script.begin_run(9);
    script.nodes.begin_issue(*script.issues.find(script.issues.begin(4)));
    script.nodes.add_node(node_id(k_captured, 0), NodeKind::fill);
    script.nodes.end_issue(0);
    script.nodes.add_exec(k_exec, k_captured);
    DeviceCopyRecord fill;
    fill.kind        = static_cast<uint8_t>(CopyKind::fill);
    fill.begin_ns    = 100;
    fill.end_ns      = 110;
    fill.correlation = script.call(script.issues.begin_replay(script.nodes.launch(k_exec, k_captured)));
    fill.graph       = k_exec;
    fill.graph_node  = node_id(k_exec, 0);
    script.activity.add(fill);
    DeviceCopyRecord copy  = fill;
    copy.graph       = 0;
    copy.graph_node  = 0;
    copy.correlation = script.call(script.issues.begin(5));
    script.activity.add(copy);
    copy.correlation = 1000;
    copy.end_ns      = 0;
    script.activity.add(copy);
    const Joined joined = script.join();
    CHECK(joined.copies.node == Numbers{ 4, 5, -1 });
    CHECK(joined.copies.way == std::vector<uint8_t>{ static_cast<uint8_t>(JoinWay::local),
                                                     static_cast<uint8_t>(JoinWay::launch), 0 });
    CHECK(joined.report.counts.n_untimed == 1);
    CHECK(joined.report.n_copies[0] == 1);
}

TEST_SUITE_END();
