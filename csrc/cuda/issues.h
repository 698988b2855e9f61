// What ggml-cuda was issuing while it called CUDA: a node or fused group of nodes, launched or captured, or
// the replay of a captured graph. Each has an id, which CUPTI hands back with the calls that were made
// while it was open.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace slmprof {

struct Issue {
    int32_t  run     = -1;
    int32_t  node    = -1;  // the group's first node; -1 for a replay
    uint16_t n_fused = 0;   // how many following nodes ran with it
    int32_t  version = -1;  // for a replay, which version of which executable graph (GraphNodes)

    bool is_replay() const { return node < 0; }
};

class IssueLog {
  public:
    explicit IssueLog(size_t capacity = 1 << 16) { issues_.reserve(capacity); }

    // One evaluation of a ggml graph by a device's backend. Runs are numbered on, also after `clear`.
    int32_t begin_run(int32_t device);

    // From here on the nodes of that run's graph are issued; returns the issue's id, which is never 0.
    uint64_t begin(int32_t node);
    uint64_t begin_replay(int32_t version);

    // How many nodes ran as one is known only when they did.
    void end(uint16_t n_fused);

    // The issue with this id; null where it was never made or has been cleared.
    const Issue * find(uint64_t id) const;

    // The graph of a run is recognised after its time has been taken.
    void    set_graph(int32_t run, int32_t graph);
    int32_t graph_of(int32_t run) const;   // -1: not known
    int32_t device_of(int32_t run) const;  // -1: likewise

    int32_t first_run() const { return first_run_; }
    int32_t last_run() const { return first_run_ + static_cast<int32_t>(runs_.size()) - 1; }

    // Forgets runs and issues, whose records must have been joined. Their numbers are not used again.
    void clear();

  private:
    struct Run {
        int32_t device, graph;
    };

    uint64_t    add(const Issue & issue);
    const Run * run(int32_t number) const;

    std::vector<Issue> issues_;
    std::vector<Run>   runs_;
    uint64_t           first_id_  = 1;
    int32_t            first_run_ = 0;
};

}  // namespace slmprof
