// What a join was made by, for a profile that is to be joined again.

#include "cuda/device_activity.h"
#include "cuda/join_inputs.h"
#include "cuda_script.h"

#include <doctest/doctest.h>

#include <vector>

using namespace slmprof;
using namespace slmprof::test;

namespace {

using Numbers = std::vector<int32_t>;

constexpr uint32_t k_captured = 4, k_recaptured = 6, k_exec = 5;

const std::vector<Group> k_groups = { { 0, { 10 } }, { 1, { 20, 21 } }, { 3, { 30 }, 2 } };

Joined joined_with_inputs(const CudaScript & script) {
    Joined joined = script.join();
    keep_inputs(script.activity, script.issues, script.nodes, joined);
    return joined;
}

}  // namespace

TEST_SUITE_BEGIN("cuda join inputs");

TEST_CASE("of what is launched directly the issues are all") {
    CudaScript script;
    script.begin_run(9);
    script.launch({ 2, { 10, 11 }, 1 });
    script.add_kernel(900, 12);
    script.launch({ 4, { 13 } });
    script.capture(k_captured, k_groups);  // which nothing replays
    const Joined joined = joined_with_inputs(script);
    CHECK(joined.issue_of_kernel == Numbers{ 0, 0, -1, 1 });
    CHECK(joined.inputs.issues.node == Numbers{ 2, 4 });
    CHECK(joined.inputs.issues.n_fused == std::vector<uint16_t>{ 1, 0 });
    CHECK(joined.inputs.issues.run == Numbers{ 0, 0 });
    CHECK(joined.inputs.issues.version == Numbers{ -1, -1 });
    CHECK(joined.inputs.captures.n_rows + joined.inputs.graph_versions.n_rows + joined.inputs.cloned_nodes.n_rows == 0);
}

TEST_CASE("a replay leads to its version, captures, nodes and clones") {
    CudaScript script;
    script.begin_run(9);
    script.capture(99, k_groups);  // which nothing replays
    script.replay_first(9, k_captured, k_exec, k_groups);
    script.begin_run(9);
    script.capture(k_recaptured, k_groups);
    script.replay(k_exec, k_recaptured);
    const Joined       joined = joined_with_inputs(script);
    const JoinInputs & inputs = joined.inputs;
    CHECK(joined.issue_of_kernel == Numbers{ 0, 0, 0, 0, 1, 1, 1, 1 });
    CHECK(inputs.issues.run == Numbers{ 1, 2 });
    CHECK(inputs.issues.version == Numbers{ 0, 1 });
    CHECK(inputs.graph_versions.cuda_graph == std::vector<uint32_t>{ k_exec, k_exec });
    CHECK(inputs.graph_versions.made_from == Numbers{ 0, 0 });
    CHECK(inputs.graph_versions.updated_from == Numbers{ 0, 1 });
    CHECK(inputs.captures.cuda_graph == std::vector<uint32_t>{ k_captured, k_recaptured });
    CHECK(inputs.captured_nodes.capture == Numbers{ 0, 0, 0, 0, 1, 1, 1, 1 });
    CHECK(inputs.captured_nodes.place == Numbers{ 0, 1, 2, 3, 0, 1, 2, 3 });
    CHECK(inputs.captured_nodes.node == Numbers{ 0, 1, 1, 3, 0, 1, 1, 3 });
    CHECK(inputs.captured_nodes.name == Numbers{ 10, 20, 21, 30, 10, 20, 21, 30 });
    CHECK(inputs.captured_nodes.n_fused == std::vector<uint16_t>{ 0, 0, 0, 2, 0, 0, 0, 2 });
    CHECK(inputs.cloned_nodes.n_rows == 4);
    CHECK(inputs.cloned_nodes.cuda_node[3] == node_id(k_exec, 3));
    CHECK(inputs.cloned_nodes.original_cuda_node[3] == node_id(k_captured, 3));
}

TEST_CASE("a record without its call leads to the latest version of its graph") {
    CudaScript script;
    script.replay_first(9, k_captured, k_exec, k_groups);
    script.activity.externals.clear();
    const Joined joined = joined_with_inputs(script);
    CHECK(joined.issue_of_kernel == Numbers(4, -1));
    CHECK(joined.inputs.issues.n_rows == 0);
    CHECK(joined.inputs.graph_versions.cuda_graph == std::vector<uint32_t>{ k_exec });
    CHECK(joined.inputs.captured_nodes.n_rows == 4);
    const DeviceActivity made = sort_by_run(script.activity, joined, {}, {}, true);
    CHECK(made.launches.node == Numbers(4, -1));
    CHECK(made.launches.way == std::vector<uint8_t>(4, 0));
    CHECK(made.summary.n_stray == 4);
    CHECK(made.summary.n_by_clone == 0);
}

TEST_CASE("a node that was copied into the captured graph has both ids") {
    CudaScript script;
    script.begin_run(9);
    script.nodes.begin_issue(*script.issues.find(script.issues.begin(6)));
    script.nodes.add_node(node_id(90, 0), NodeKind::kernel);
    script.nodes.add_node(node_id(k_captured, 0), NodeKind::child);
    script.nodes.add_clone(node_id(91, 0), node_id(90, 0), NodeKind::kernel);
    script.nodes.end_issue(0);
    script.nodes.add_exec(k_exec, k_captured);
    script.replay(k_exec, k_captured);
    script.add_kernel(script.call(script.issues.begin_replay(script.nodes.launch(k_exec, k_captured))), 10, k_exec,
                      node_id(91, 0));
    const JoinInputs inputs = joined_with_inputs(script).inputs;
    CHECK(inputs.captures.cuda_graph == std::vector<uint32_t>{ k_captured });
    CHECK(inputs.captured_nodes.place == Numbers{ 0, 0, 1 });
    CHECK(inputs.captured_nodes.cuda_node == std::vector<uint64_t>{ node_id(91, 0), node_id(90, 0), node_id(k_captured, 0) });
}

TEST_CASE("issues of runs that nobody asks for are left out, and the others counted without them") {
    CudaScript script;
    script.begin_run(9);
    script.launch({ 0, { 10 } });
    const int32_t asked = script.begin_run(9);
    script.launch({ 3, { 11 } });
    const DeviceActivity made =
        sort_by_run(script.activity, joined_with_inputs(script), { { { asked, 9, 1, 5000, true }, 0 } }, {}, true);
    CHECK(made.inputs.issues.run == Numbers{ 0 });
    CHECK(made.inputs.issues.node == Numbers{ 3 });
    CHECK(made.launches.issue == Numbers{ 0 });
    CHECK(made.summary.n_launched == 1);
    const DeviceActivity none =
        sort_by_run(script.activity, joined_with_inputs(script), { { { asked, 9, 1, 5000, true }, 0 } }, {}, false);
    CHECK(none.inputs.issues.n_rows == 0);
    CHECK(none.summary.n_launched == 1);
}

TEST_CASE("an id that was used again is not taken for the first capture's") {
    CudaScript script;
    script.begin_run(9);
    script.capture(k_captured, k_groups);
    script.instantiate(k_exec, k_captured, false);
    script.begin_run(9);
    script.nodes.begin_issue(*script.issues.find(script.issues.begin(7)));
    script.nodes.add_node(node_id(k_captured, 2), NodeKind::kernel);
    script.nodes.end_issue(0);
    const uint32_t call = script.call(script.issues.begin_replay(0));
    script.add_kernel(call, 21, k_exec, node_id(k_exec, 2));
    script.add_kernel(call, 30, k_exec, node_id(k_exec, 3));
    const Joined joined = joined_with_inputs(script);
    CHECK(joined.kernels.node == Numbers{ -1, 3 });
    CHECK(joined.inputs.captures.n_rows == 2);  // the second one's says that the id is its own
}

TEST_SUITE_END();
