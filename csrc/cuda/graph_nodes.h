// Which node of ggml's graph each node of a CUDA graph comes from. A CUDA graph is captured while ggml-cuda
// issues its nodes; it is then cloned into an executable one, which is updated from later captures or
// replaced by another. CUPTI's resource callbacks tell of each step, and so do the hooks where a graph is
// launched. What a launch replays is the version of its executable graph at that moment: the records of
// it are read much later, when the graphs may have changed or gone.
//
// One thread at a time: what other threads capture is not ggml's.

#pragma once

#include "cuda/issues.h"

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace slmprof {

enum class NodeKind : uint8_t { kernel, copy, fill, child, other };

// How a record was joined to a node.
enum class JoinWay : uint8_t {
    none = 0,
    launch,  // launched directly, while the node was issued
    source,  // CUPTI told the captured node that the replayed one was last updated from
    node,    // by the replayed node's id, which is that of a captured node
    clone,   // by what the replayed node was cloned from
    local,   // by the half of its id that a clone keeps
    order,   // no id led anywhere: the i-th record of a replay is the i-th captured node
};
constexpr int k_n_join_ways = 7;

struct CapturedNode {
    uint64_t id;
    NodeKind kind;
    int32_t  name;   // of the kernel, or -1
    Issue    issue;  // whose run is that of the capture
};

// All that was captured in one run: the nodes of a CUDA graph and of the child graphs in it, in the order
// in which they were made.
struct Capture {
    int32_t                   run   = -1;
    int32_t                   graph = -1;  // ggml's; -1 until it is known
    std::vector<CapturedNode> nodes;
    std::vector<uint32_t>     cuda_graphs;  // that it lies in; the one that is launched comes first
};

// An executable graph between two changes. Captures by number, -1 where they were not seen.
struct ExecVersion {
    uint32_t exec;
    int32_t  made_from;
    int32_t  updated_from;  // made_from, until it is updated
};

class GraphNodes {
  public:
    // A graph is cloned for an executable one, a child for the graph that it is put in: no chain is longer
    // than a few, and an id that was used twice must not make it endless.
    static constexpr int k_longest_chain = 16;

    // Where a node stands: which capture, which of its nodes.
    struct Place {
        int32_t capture;
        size_t  index;
    };

    struct Found {
        const Capture * capture = nullptr;
        size_t          index   = 0;  // of its nodes
        JoinWay         way     = JoinWay::none;

        const CapturedNode & node() const { return capture->nodes[index]; }
    };

    // What the hooks tell. Nodes are ggml's while an issue is open; how many nodes it fused comes last.
    void begin_issue(const Issue & issue);
    void end_issue(uint16_t n_fused);
    // The version that is launched: `exec` as it was last made or updated, from `graph`.
    int32_t launch(uint32_t exec, uint32_t graph);
    void    set_graph(int32_t run, int32_t ggml_graph);

    // What CUPTI's callbacks tell: a call is about to launch or capture this kernel, and the lives of
    // graphs. Nodes of executable graphs are cloned in ones that have their ids.
    void begin_launch(int32_t kernel_name) { launched_name_ = kernel_name; }
    void add_node(uint64_t node, NodeKind kind);
    void add_clone(uint64_t node, uint64_t original, NodeKind kind);
    void add_cloned_graph(uint32_t graph, uint32_t original) { original_graphs_[graph] = original; }
    void add_exec(uint32_t exec, uint32_t graph);
    void update_exec(uint32_t exec, uint32_t graph);
    void remove_graph(uint32_t graph) { removed_graphs_.push_back(graph); }
    void remove_exec(uint32_t exec) { removed_execs_.push_back(exec); }

    // The captured node of a replayed one; `source` is 0 where CUPTI does not tell it, `version` -1 where
    // the launch is not known. Nothing is found by order.
    Found find(int32_t version, uint64_t node, uint64_t source) const;

    // What a version replays; null where that was never captured.
    const Capture * replayed(int32_t version) const;

    // The latest version of an executable graph, or -1.
    int32_t latest(uint32_t exec) const;

    // What `find` looks at, for whoever keeps it. Null and 0 where nothing is known of the node.
    const Place *       place_of(uint64_t node) const;
    uint64_t            original_of(uint64_t node) const;
    uint64_t            local_id(int32_t capture, uint32_t local) const;  // of the graph that is launched
    const Capture &     capture(int32_t number) const { return captures_[static_cast<size_t>(number)]; }
    const ExecVersion & version(int32_t number) const { return versions_[static_cast<size_t>(number)]; }
    bool has_version(int32_t number) const { return number >= 0 && static_cast<size_t>(number) < versions_.size(); }
    const std::unordered_map<uint64_t, Place> & places() const { return places_; }

    // Lets go of what can no longer be launched. Only when all records of launches have been joined.
    void forget_removed();

    // How many nodes are known, clones included.
    size_t n_nodes() const { return places_.size() + originals_.size(); }

  private:
    int32_t       capture_of(uint32_t graph) const;
    Capture &     open_capture();
    void          append(uint64_t node, NodeKind kind);
    void          add_graph(uint32_t graph);  // to the open capture
    void          remove(Place place);
    void          put_first(int32_t capture, uint32_t graph);
    Found         found(const Place & place, JoinWay way) const;
    Found         carry_over(const Place & place, const ExecVersion & version, JoinWay way) const;
    Found         find_local(int32_t capture, uint32_t local) const;
    void          add_version(const ExecVersion & version);

    Issue   issue_;
    bool    is_issuing_    = false;
    int32_t launched_name_ = -1;
    size_t  n_at_issue_    = 0;  // nodes of the capture before the issue

    std::vector<Capture>                   captures_;
    std::unordered_map<uint64_t, Place>    places_;           // by id of a node
    std::unordered_map<uint64_t, uint64_t> originals_;        // by id of a clone
    std::unordered_map<uint32_t, int32_t>  graph_captures_;   // by id of a CUDA graph
    std::unordered_map<uint32_t, uint32_t> original_graphs_;  // by id of a clone
    std::vector<ExecVersion>               versions_;
    std::unordered_map<uint32_t, int32_t>  latest_;  // by id of an executable graph
    std::vector<uint32_t>                  removed_graphs_, removed_execs_;
};

}  // namespace slmprof
