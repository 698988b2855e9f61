// The lives of CUDA graphs, as CUPTI's callbacks and the hooks tell them.

#include "cuda/activity.h"
#include "cuda/graph_nodes.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using namespace slmprof;

namespace {

constexpr uint32_t k_graph = 3, k_child = 2, k_child_clone = 4, k_exec = 10, k_exec_child = 11;

Issue issue(int32_t run, int32_t node) {
    Issue made;
    made.run  = run;
    made.node = node;
    return made;
}

// Captures one kernel for each node of a run.
void capture(GraphNodes & nodes, int32_t run, uint32_t graph, int n_nodes) {
    for (int node = 0; node < n_nodes; node++) {
        nodes.begin_issue(issue(run, node));
        nodes.add_node(node_id(graph, static_cast<uint32_t>(node)), NodeKind::kernel);
        nodes.end_issue(0);
    }
}

int32_t node_of(const GraphNodes::Found & found) { return found.capture != nullptr ? found.node().issue.node : -1; }

}  // namespace

TEST_SUITE_BEGIN("cuda graph nodes");

TEST_CASE("how many nodes were fused comes after their kernels") {
    GraphNodes nodes;
    nodes.begin_issue(issue(0, 2));
    nodes.add_node(node_id(k_graph, 0), NodeKind::kernel);
    nodes.end_issue(0);
    nodes.begin_issue(issue(0, 3));
    nodes.add_node(node_id(k_graph, 1), NodeKind::kernel);
    nodes.add_node(node_id(k_graph, 2), NodeKind::kernel);
    nodes.end_issue(4);
    const int32_t   version = nodes.launch(k_exec, k_graph);
    const Capture * capture = nodes.replayed(version);
    REQUIRE(capture != nullptr);
    REQUIRE(capture->nodes.size() == 3);
    CHECK(capture->nodes[0].issue.n_fused == 0);
    CHECK(capture->nodes[1].issue.n_fused == 4);
    CHECK(capture->nodes[2].issue.n_fused == 4);
}

TEST_CASE("a group that captures nothing leaves the others alone") {
    GraphNodes nodes;
    capture(nodes, 0, k_graph, 1);
    nodes.begin_issue(issue(0, 1));
    nodes.end_issue(2);
    CHECK(nodes.replayed(nodes.launch(k_exec, k_graph))->nodes[0].issue.n_fused == 0);
}

TEST_CASE("nodes that appear while nothing is issued are nobody's") {
    GraphNodes nodes;
    capture(nodes, 0, k_graph, 1);
    nodes.add_node(node_id(k_graph, 1), NodeKind::kernel);
    CHECK(nodes.n_nodes() == 1);
    CHECK(node_of(nodes.find(-1, node_id(k_graph, 1), 0)) == -1);
}

TEST_CASE("a name is that of the one kernel that was launched with it") {
    GraphNodes nodes;
    nodes.begin_issue(issue(0, 0));
    nodes.begin_launch(7);
    nodes.add_node(node_id(k_graph, 0), NodeKind::kernel);
    nodes.add_node(node_id(k_graph, 1), NodeKind::kernel);
    nodes.begin_launch(8);
    nodes.end_issue(0);
    nodes.begin_issue(issue(0, 1));
    nodes.add_node(node_id(k_graph, 2), NodeKind::kernel);
    nodes.end_issue(0);
    const Capture & capture = *nodes.replayed(nodes.launch(k_exec, k_graph));
    CHECK(capture.nodes[0].name == 7);
    CHECK(capture.nodes[1].name == -1);
    CHECK(capture.nodes[2].name == -1);
}

TEST_CASE("a clone leads to its original over any number of steps") {
    GraphNodes nodes;
    capture(nodes, 0, k_graph, 2);
    nodes.add_clone(node_id(20, 5), node_id(k_graph, 1), NodeKind::kernel);
    nodes.add_clone(node_id(k_exec, 9), node_id(20, 5), NodeKind::kernel);
    const auto found = nodes.find(nodes.launch(k_exec, k_graph), node_id(k_exec, 9), 0);
    CHECK(node_of(found) == 1);
    CHECK(found.way == JoinWay::clone);
}

TEST_CASE("clones in a circle lead nowhere, and end") {
    GraphNodes nodes;
    nodes.add_clone(node_id(1, 1), node_id(2, 1), NodeKind::kernel);
    nodes.add_clone(node_id(2, 1), node_id(1, 1), NodeKind::kernel);
    nodes.add_cloned_graph(1, 2);
    nodes.add_cloned_graph(2, 1);
    CHECK(node_of(nodes.find(nodes.launch(1, 0), node_id(1, 1), 0)) == -1);
}

TEST_CASE("an executable graph is known by the graph that it was cloned in") {
    GraphNodes nodes;
    capture(nodes, 0, k_graph, 1);
    nodes.add_cloned_graph(k_exec, k_graph);
    const int32_t version = nodes.launch(k_exec, 0);
    CHECK(node_of(nodes.find(version, node_id(k_exec, 0), 0)) == 0);
}

TEST_CASE("a launch without a change is the same version, each change another") {
    GraphNodes nodes;
    capture(nodes, 0, k_graph, 1);
    nodes.add_exec(k_exec, k_graph);
    const int32_t first = nodes.launch(k_exec, k_graph);
    CHECK(nodes.launch(k_exec, k_graph) == first);
    CHECK(nodes.launch(k_exec, 0) == first);
    capture(nodes, 1, k_graph + 100, 1);
    const int32_t second = nodes.launch(k_exec, k_graph + 100);
    CHECK(second != first);
    CHECK(nodes.replayed(first)->run == 0);
    CHECK(nodes.replayed(second)->run == 1);
}

TEST_CASE("an update whose shape is another's goes by the half that stays") {
    GraphNodes nodes;
    capture(nodes, 0, k_graph, 2);
    nodes.add_exec(k_exec, k_graph);
    nodes.add_clone(node_id(k_exec, 0), node_id(k_graph, 0), NodeKind::kernel);
    nodes.add_clone(node_id(k_exec, 1), node_id(k_graph, 1), NodeKind::kernel);
    nodes.begin_issue(issue(1, 6));
    nodes.add_node(node_id(30, 0), NodeKind::kernel);
    nodes.end_issue(0);
    const int32_t version = nodes.launch(k_exec, 30);
    const auto    first   = nodes.find(version, node_id(k_exec, 0), 0);
    CHECK(node_of(first) == 6);
    CHECK(first.way == JoinWay::local);
    CHECK(node_of(nodes.find(version, node_id(k_exec, 1), 0)) == -1);
}

TEST_CASE("as many nodes of other kinds are another shape") {
    GraphNodes nodes;
    capture(nodes, 0, k_graph, 2);
    nodes.add_exec(k_exec, k_graph);
    nodes.begin_issue(issue(1, 6));
    nodes.add_node(node_id(30, 1), NodeKind::kernel);
    nodes.add_node(node_id(30, 0), NodeKind::fill);
    nodes.end_issue(0);
    const auto found = nodes.find(nodes.launch(k_exec, 30), node_id(k_exec, 1), 0);
    REQUIRE(found.capture != nullptr);
    CHECK(found.node().kind == NodeKind::kernel);
}

TEST_CASE("after an update of the same shape the numbers of the nodes need not agree") {
    GraphNodes nodes;
    capture(nodes, 0, k_graph, 2);
    nodes.add_exec(k_exec, k_graph);
    for (int node = 0; node < 2; node++) {
        nodes.begin_issue(issue(1, 7 + node));
        nodes.add_node(node_id(30, static_cast<uint32_t>(50 + node)), NodeKind::kernel);
        nodes.end_issue(0);
    }
    const int32_t version = nodes.launch(k_exec, 30);
    CHECK(node_of(nodes.find(version, node_id(k_exec, 1), 0)) == 8);
    CHECK(node_of(nodes.find(version, node_id(k_exec, 1), node_id(30, 50))) == 7);  // CUPTI knows better
}

TEST_CASE("a child graph's nodes belong to what put it in") {
    GraphNodes nodes;
    int32_t    inner = 1;
    SUBCASE("made within the same issue: the clone takes its place") {
        nodes.begin_issue(issue(0, 0));
        nodes.add_node(node_id(k_child, 0), NodeKind::kernel);
        nodes.add_node(node_id(k_child, 1), NodeKind::kernel);
        nodes.add_node(node_id(k_graph, 0), NodeKind::child);
        SUBCASE("told of once") {}
        SUBCASE("told of twice, when they are made and as clones") {
            nodes.add_node(node_id(k_child_clone, 0), NodeKind::kernel);
            nodes.add_node(node_id(k_child_clone, 1), NodeKind::kernel);
        }
        inner = 0;
    }
    SUBCASE("made before: it stands where it is put in") {
        nodes.add_node(node_id(k_child, 0), NodeKind::kernel);
        nodes.add_node(node_id(k_child, 1), NodeKind::kernel);
        nodes.begin_issue(issue(0, 1));
        nodes.add_node(node_id(k_graph, 0), NodeKind::child);
    }
    nodes.add_cloned_graph(k_child_clone, k_child);
    nodes.add_clone(node_id(k_child_clone, 0), node_id(k_child, 0), NodeKind::kernel);
    nodes.add_clone(node_id(k_child_clone, 1), node_id(k_child, 1), NodeKind::kernel);
    nodes.end_issue(0);
    nodes.begin_issue(issue(0, 2));
    nodes.add_node(node_id(k_graph, 1), NodeKind::kernel);
    nodes.end_issue(0);
    // Instantiated: the child is cloned once more, as a graph of its own.
    nodes.add_clone(node_id(k_exec_child, 0), node_id(k_child_clone, 0), NodeKind::kernel);
    nodes.add_clone(node_id(k_exec_child, 1), node_id(k_child_clone, 1), NodeKind::kernel);
    nodes.add_clone(node_id(k_exec, 1), node_id(k_graph, 1), NodeKind::kernel);
    nodes.add_exec(k_exec, k_graph);

    const int32_t version = nodes.launch(k_exec, k_graph);
    CHECK(node_of(nodes.find(version, node_id(k_exec_child, 0), 0)) == inner);
    CHECK(node_of(nodes.find(version, node_id(k_exec_child, 1), 0)) == inner);
    CHECK(node_of(nodes.find(version, node_id(k_exec, 1), 0)) == 2);
    const Capture & capture = *nodes.replayed(version);
    CHECK(capture.cuda_graphs.front() == k_graph);
    std::vector<NodeKind> kinds;
    for (const CapturedNode & node : capture.nodes) {
        kinds.push_back(node.kind);
    }
    CHECK(std::count(kinds.begin(), kinds.end(), NodeKind::kernel) == 3);
    CHECK(capture.nodes.back().issue.node == 2);
}

TEST_CASE("a child that is put in twice is there twice") {
    GraphNodes nodes;
    nodes.begin_issue(issue(0, 0));
    nodes.add_node(node_id(k_child, 0), NodeKind::kernel);
    nodes.add_clone(node_id(k_child_clone, 0), node_id(k_child, 0), NodeKind::kernel);
    nodes.add_clone(node_id(k_child_clone + 1, 0), node_id(k_child, 0), NodeKind::kernel);
    nodes.end_issue(3);
    const Capture & capture = *nodes.replayed(nodes.launch(k_exec, k_child_clone));
    REQUIRE(capture.nodes.size() == 2);
    CHECK(capture.nodes[0].id == node_id(k_child_clone, 0));
    CHECK(capture.nodes[1].id == node_id(k_child_clone + 1, 0));
    CHECK(capture.nodes[1].issue.n_fused == 3);
}

TEST_CASE("a child that an earlier issue made belongs to the one that puts it in") {
    GraphNodes nodes;
    nodes.begin_issue(issue(0, 0));
    nodes.add_node(node_id(k_child, 0), NodeKind::kernel);
    nodes.end_issue(0);
    nodes.begin_issue(issue(0, 1));
    nodes.add_clone(node_id(k_child_clone, 0), node_id(k_child, 0), NodeKind::kernel);
    nodes.end_issue(0);
    CHECK(node_of(nodes.find(-1, node_id(k_child_clone, 0), 0)) == 1);
}

TEST_CASE("a child that an earlier run made is no part of that run's capture again") {
    GraphNodes nodes;
    nodes.begin_issue(issue(0, 0));
    nodes.add_node(node_id(k_child, 0), NodeKind::kernel);
    nodes.end_issue(0);
    nodes.begin_issue(issue(1, 5));
    nodes.add_clone(node_id(k_child_clone, 0), node_id(k_child, 0), NodeKind::kernel);
    nodes.end_issue(0);
    CHECK(node_of(nodes.find(-1, node_id(k_child, 0), 0)) == 0);
    CHECK(node_of(nodes.find(-1, node_id(k_child_clone, 0), 0)) == 5);
}

TEST_CASE("a child's nodes are not mistaken for the graph's own of the same number") {
    GraphNodes nodes;
    capture(nodes, 0, k_graph, 3);
    nodes.add_exec(k_exec, k_graph);
    const int32_t version = nodes.launch(k_exec, k_graph);
    CHECK(node_of(nodes.find(version, node_id(k_exec, 2), 0)) == 2);
    CHECK(node_of(nodes.find(version, node_id(k_exec_child, 2), 0)) == -1);
}

TEST_CASE("what was removed is known until it is forgotten, what can be launched even then") {
    GraphNodes nodes;
    capture(nodes, 0, k_graph, 2);
    nodes.add_exec(k_exec, k_graph);
    nodes.add_clone(node_id(k_exec, 0), node_id(k_graph, 0), NodeKind::kernel);
    nodes.add_clone(node_id(k_exec_child, 0), node_id(k_graph, 1), NodeKind::kernel);
    const int32_t version = nodes.launch(k_exec, k_graph);
    nodes.remove_graph(k_graph);
    CHECK(node_of(nodes.find(version, node_id(k_exec, 0), 0)) == 0);

    nodes.forget_removed();  // the executable graph lives on
    CHECK(node_of(nodes.find(version, node_id(k_exec, 0), 0)) == 0);
    CHECK(nodes.n_nodes() == 4);

    nodes.remove_exec(k_exec);
    nodes.remove_graph(k_exec_child);
    CHECK(node_of(nodes.find(version, node_id(k_exec, 0), 0)) == 0);
    nodes.forget_removed();
    CHECK(nodes.n_nodes() == 0);
    CHECK(nodes.latest(k_exec) == -1);
    CHECK(node_of(nodes.find(version, node_id(k_exec, 0), 0)) == -1);
}

TEST_CASE("of an updated graph both captures are kept, whatever was removed") {
    GraphNodes nodes;
    capture(nodes, 0, k_graph, 2);
    nodes.add_exec(k_exec, k_graph);
    nodes.begin_issue(issue(1, 6));
    nodes.add_node(node_id(30, 0), NodeKind::kernel);
    nodes.add_node(node_id(30, 1), NodeKind::kernel);
    nodes.end_issue(0);
    const int32_t version = nodes.launch(k_exec, 30);
    nodes.remove_graph(k_graph);
    nodes.remove_graph(30);
    nodes.forget_removed();
    CHECK(node_of(nodes.find(version, node_id(k_exec, 1), 0)) == 6);
    CHECK(nodes.n_nodes() == 4);
}

TEST_CASE("a graph that is neither removed nor launched yet is kept") {
    GraphNodes nodes;
    capture(nodes, 0, k_graph, 2);
    nodes.forget_removed();
    CHECK(nodes.n_nodes() == 2);
}

TEST_SUITE_END();
