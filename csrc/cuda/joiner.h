// Joins what ran on devices to the nodes of ggml's graphs. What was launched directly is known by the issue
// that was open; what a captured graph replayed, by the node that each record names, and by its place in
// the order in which the nodes were captured, which checks the first way and stands in for it.

#pragma once

#include "cuda/activity.h"
#include "cuda/graph_nodes.h"
#include "cuda/issues.h"
#include "record/kernel_tracer.h"

#include <array>
#include <unordered_map>
#include <vector>

namespace slmprof {

// One row for each kernel, or for each copy, in their order: the run that launched it (of IssueLog), that
// run's graph of ggml, its (first) node and how many following ones it also computes; -1 where unknown.
#define SLMPROF_JOIN_COLUMNS(COLUMN, COLUMNS)                                \
    COLUMN(int32_t, run) COLUMN(int32_t, graph) COLUMN(int32_t, node)        \
    COLUMN(uint16_t, n_fused) COLUMN(uint8_t, way)
SLMPROF_TABLE(JoinColumns, SLMPROF_JOIN_COLUMNS)

// Kernels of one name that belong to no node.
struct StrayKernels {
    int32_t name;
    int64_t n, total_ns;
};

struct JoinReport {
    int64_t                            kernel_ns = 0, joined_ns = 0;
    std::array<int64_t, k_n_join_ways> n_kernels{}, n_copies{};  // by way
    std::vector<StrayKernels>          strays;                   // those that took longest come first

    // Of replayed kernels: how many have a place in the order, and for how many of these it is another
    // node's than the ids say; and whose name is not that of the captured kernel.
    int64_t n_ordered = 0, n_misplaced = 0, n_misnamed = 0;
    // Replays that have no order: on several streams, untimed, or not of as many kernels as were captured.
    int64_t n_unordered_replays = 0;
    // Joined to a node of a graph that the run did not execute.
    int64_t n_other_graph = 0;

    ActivityCounts counts;

    // By time; 1 where no kernel took any.
    double rate() const {
        return kernel_ns > 0 ? static_cast<double>(joined_ns) / static_cast<double>(kernel_ns) : 1.0;
    }
};

struct Joined {
    JoinColumns kernels, copies;
    JoinReport  report;

    // Where they are kept (join_inputs): of each kernel the row among the issues, or -1. The runs are IssueLog's.
    std::vector<int32_t> issue_of_kernel;
    JoinInputs           inputs;
};

// What was open when each call was made, by correlation.
using IssueOfCall = std::unordered_map<uint32_t, const Issue *>;
IssueOfCall issues_of_calls(const Activity & activity, const IssueLog & issues);

Joined join(const Activity & activity, const IssueLog & issues, const GraphNodes & nodes);

}  // namespace slmprof
