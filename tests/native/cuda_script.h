// A device by script: what ggml-cuda's hooks and CUPTI's callbacks tell, and the records that follow.

#pragma once

#include "cuda/activity.h"
#include "cuda/graph_nodes.h"
#include "cuda/issues.h"
#include "cuda/joiner.h"

#include <cstdint>
#include <vector>

namespace slmprof::test {

// A node of ggml's graph, and the kernels that it takes, by the numbers of their names.
struct Group {
    int32_t              node;
    std::vector<int32_t> kernels;
    uint16_t             n_fused = 0;
};

// How a replay's records differ from what is expected of them.
struct ReplayRecords {
    bool     tells_sources = false;  // CUPTI 13.4
    bool     drops_graph   = false;  // the graph's half of a node's id is missing
    uint32_t first_local   = 0;      // added to the local half: ids that nobody has seen
};

class CudaScript {
  public:
    static constexpr int64_t k_kernel_ns = 10, k_gap_ns = 2, k_call_ns = 1;

    // One evaluation of ggml's graph with this number.
    int32_t begin_run(int32_t graph, uint32_t device = 0);

    void launch(const Group & group);

    // Captures a graph with this id; names are told where `has_names`.
    void capture(uint32_t graph, const std::vector<Group> & groups, bool has_names = true);
    // Makes an executable graph of it; where the clones are not seen, only that it was made.
    void instantiate(uint32_t exec, uint32_t graph, bool sees_clones = true);
    // Launches it, as it was made or last updated from `graph`.
    void replay(uint32_t exec, uint32_t graph, const ReplayRecords & how = {});

    // A graph of ggml that is captured, made an executable one, and launched.
    void replay_first(int32_t ggml_graph, uint32_t graph, uint32_t exec, const std::vector<Group> & groups) {
        begin_run(ggml_graph);
        capture(graph, groups);
        instantiate(exec, graph);
        replay(exec, graph);
    }

    // A call's records: an external correlation, the call, and what it put on the device.
    uint32_t call(uint64_t issue);
    void     add_kernel(uint32_t correlation, int32_t name, uint32_t exec = 0, uint64_t node = 0, uint64_t source = 0);

    Joined join() const { return slmprof::join(activity, issues, nodes); }

    IssueLog   issues;
    GraphNodes nodes;
    Activity   activity;
    uint32_t   device = 0, stream = 7;
    int64_t    now_ns = 1000;

  private:
    struct Captured {
        uint32_t graph;
        uint64_t node;
        int32_t  name;
    };

    int32_t               run_              = -1;
    uint32_t              next_correlation_ = 1;
    std::vector<Captured> captured_;
};

// Plays the script on stdin and prints what it was joined to, and by what (cuda_joins.cpp); returns the exit code.
int print_joins();

}  // namespace slmprof::test
