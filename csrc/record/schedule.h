// What ggml's scheduler runs for one graph: its splits, each on a backend, and the copies that they read.

#pragma once

#include "ggml.h"

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

struct ggml_backend;
struct ggml_backend_device;

namespace slmprof {

struct ScheduledSplit {
    ggml_cgraph *         graph;
    ggml_backend *        backend;
    ggml_backend_device * device;  // null where a graph is run without the scheduler, by the CPU
    int32_t               first_node;
};

// All splits together are one graph, whose nodes are counted from the first split on.
class Schedule {
  public:
    Schedule() = default;
    // A graph that one device computes whole.
    explicit Schedule(ggml_cgraph * graph) { add_split(graph, nullptr); }

    void clear();
    void add_split(ggml_cgraph * graph, ggml_backend * backend);
    void add_copy(const ggml_tensor * original, const ggml_tensor * copy) { originals_[copy] = original; }

    const std::vector<ScheduledSplit> & splits() const { return splits_; }
    int32_t                             n_nodes() const { return n_nodes_; }

    // What the graph is known by while nobody rebuilds it; null where there is none.
    const ggml_cgraph * address() const { return splits_.empty() ? nullptr : splits_.front().graph; }

    // Number of the split that has this graph, or -1. They are asked for in their order, each perhaps more than once.
    int32_t find(const ggml_cgraph * graph);

    // The tensor that another one is a copy of on another device, or the tensor itself.
    const ggml_tensor * original_of(const ggml_tensor * tensor) const {
        const auto found = originals_.find(tensor);
        return found != originals_.end() ? found->second : tensor;
    }

    template <typename Visitor> void visit_nodes(const Visitor & visitor) const;

  private:
    std::vector<ScheduledSplit>                                  splits_;
    std::unordered_map<const ggml_tensor *, const ggml_tensor *> originals_;  // by copy
    int32_t                                                      n_nodes_ = 0;
    size_t                                                       last_    = 0;
};

template <typename Visitor> void Schedule::visit_nodes(const Visitor & visitor) const {
    for (const ScheduledSplit & split : splits_) {
        const int n = ggml_graph_n_nodes(split.graph);
        for (int i = 0; i < n; i++) {
            visitor(ggml_graph_node(split.graph, i));
        }
    }
}

}  // namespace slmprof
