// A ggml compute graph, copied out as a table of its tensors.

#pragma once

#include "record/places.h"
#include "record/records.h"
#include "record/schedule.h"

#include <utility>

struct ggml_backend_buffer;
struct ggml_tensor;

namespace slmprof {

// Every distinct graph that a recorder has seen. Graphs that llama.cpp builds anew with the same
// operators, shapes and sources are one graph.
class GraphRegistry {
  public:
    explicit GraphRegistry(StringTable & strings) : strings_(strings) {}

    // Number of the graph at this address, or -1 where it may have been rebuilt.
    int32_t find_known(const Schedule & graph) const {
        const auto known = by_address_.find(graph.address());
        return known != by_address_.end() ? known->second : -1;
    }

    // Number of this graph; copies its table and its splits the first time that it is seen. The structure is
    // hashed again only after `forget_addresses`.
    int32_t find_or_copy(const Schedule & graph);

    // Row of the graph's first split; the others follow it.
    int32_t first_split(int32_t graph) const { return first_split_.at(static_cast<size_t>(graph)); }

    // Copies a graph whose tensors have no memory yet, but places where the allocator would put them.
    void copy_planned(ggml_cgraph * graph, const GraphPlaces & places);

    // To be called whenever graphs may have been rebuilt at addresses that are known.
    void forget_addresses() {
        by_address_.clear();
        masks_by_address_.clear();
    }

    // The distinct mask inputs of a graph's attentions, in the order of their first use.
    const std::vector<const ggml_tensor *> & masks_of(const Schedule & graph);

    // Row of a mask within the table of a graph that has been copied.
    int32_t mask_row(int32_t graph, int32_t mask) const;

    // Hands over the tables of the graphs that were new since the last call.
    void take(GraphColumns & graphs, SplitColumns & splits, TensorColumns & tensors);

  private:
    using TensorRows = std::unordered_map<const ggml_tensor *, int32_t>;

    void copy(const Schedule & graph, uint64_t hash, const GraphPlaces * places);
    void append_graph(const Schedule & graph, uint64_t hash);
    void append(const ggml_tensor * tensor, int32_t node, const TensorRows & rows, const GraphPlaces * places);
    void find_place(const ggml_tensor * tensor, TensorColumns::Row & row);
    void plan_place(const ggml_tensor * tensor, const GraphPlaces & places, TensorColumns::Row & row);

    StringTable &                                               strings_;
    int32_t                                                     n_graphs_ = 0;
    std::unordered_map<const ggml_cgraph *, int32_t>            by_address_;
    std::unordered_map<const ggml_cgraph *, std::vector<const ggml_tensor *>> masks_by_address_;
    std::vector<std::vector<int32_t>>                           mask_rows_;  // by graph
    std::unordered_map<uint64_t, int32_t>                       by_hash_;
    std::unordered_map<const ggml_backend_buffer *, int32_t>    buffers_;
    std::vector<int32_t>                                        first_split_;  // by graph
    int32_t                                                     n_splits_ = 0;
    GraphColumns                                                graphs_;
    SplitColumns                                                splits_;
    TensorColumns                                               tensors_;
};

// Query-key pairs that a mask lets through, and keys that any query sees.
std::pair<int64_t, int64_t> count_unmasked(const ggml_tensor * mask, std::vector<uint8_t> & seen);

// Distinct experts in a table of chosen ones, [n_used, n_tokens] of int32.
uint32_t count_experts(const ggml_tensor * experts);

}  // namespace slmprof
