#include "cuda/graph_nodes.h"

#include "cuda/activity.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <unordered_set>

namespace slmprof {
namespace {

bool is_same_shape(const Capture & a, const Capture & b) {
    return a.nodes.size() == b.nodes.size() &&
           std::equal(a.nodes.begin(), a.nodes.end(), b.nodes.begin(),
                      [](const CapturedNode & x, const CapturedNode & y) { return x.kind == y.kind; });
}

}  // namespace

void GraphNodes::begin_issue(const Issue & issue) {
    issue_         = issue;
    is_issuing_    = true;
    launched_name_ = -1;
    n_at_issue_    = !captures_.empty() && captures_.back().run == issue.run ? captures_.back().nodes.size() : 0;
}

void GraphNodes::end_issue(uint16_t n_fused) {
    if (is_issuing_ && n_fused > 0 && !captures_.empty() && captures_.back().run == issue_.run) {
        std::vector<CapturedNode> & nodes = captures_.back().nodes;
        for (size_t i = n_at_issue_; i < nodes.size(); i++) {
            nodes[i].issue.n_fused = n_fused;
        }
    }
    is_issuing_ = false;
}

int32_t GraphNodes::launch(uint32_t exec, uint32_t graph) {
    const int32_t known = latest(exec);
    if (known < 0) {
        add_exec(exec, graph);
    } else if (graph != 0) {
        update_exec(exec, graph);
    }
    return latest(exec);
}

void GraphNodes::set_graph(int32_t run, int32_t ggml_graph) {
    for (Capture & capture : captures_) {
        if (capture.run == run) {
            capture.graph = ggml_graph;
        }
    }
}

void GraphNodes::add_node(uint64_t node, NodeKind kind) {
    // Instantiation makes nodes as well, when nothing is issued; they are told of once more as clones.
    if (is_issuing_) {
        append(node, kind);
    }
}

void GraphNodes::add_clone(uint64_t node, uint64_t original, NodeKind kind) {
    originals_[node] = original;
    if (!is_issuing_) {
        return;
    }
    // A child graph that is put into the captured one: what runs is the clone. Where the original was made
    // within the same issue, for this purpose, the two are one entry.
    const Place * const place  = place_of(original);
    const auto          number = static_cast<int32_t>(captures_.size()) - 1;
    const bool is_same = place != nullptr && place->capture == number && place->index >= n_at_issue_ &&
                         captures_.back().run == issue_.run && captures_.back().nodes[place->index].id == original;
    if (is_same) {
        captures_.back().nodes[place->index].id = node;
        if (place_of(node) != nullptr) {  // told of when it was made, too
            remove(*place_of(node));
        }
        places_[node] = *place_of(original);
        add_graph(graph_half(node));
    } else if (place_of(node) == nullptr) {
        append(node, kind);
    }
}

void GraphNodes::add_exec(uint32_t exec, uint32_t graph) {
    const int32_t capture = capture_of(graph != 0 ? graph : exec);
    put_first(capture, graph);
    add_version({ exec, capture, capture });
}

void GraphNodes::update_exec(uint32_t exec, uint32_t graph) {
    const int32_t known = latest(exec);
    if (known < 0) {
        add_exec(exec, graph);
        return;
    }
    ExecVersion   version = versions_[static_cast<size_t>(known)];
    const int32_t capture = capture_of(graph);
    put_first(capture, graph);
    if (capture != version.updated_from) {
        version.updated_from = capture;
        if (version.made_from < 0) {
            version.made_from = capture;
        }
        add_version(version);
    }
}

GraphNodes::Found GraphNodes::find(int32_t number, uint64_t node, uint64_t source) const {
    if (const Place * place = source != 0 ? place_of(source) : nullptr) {
        return found(*place, JoinWay::source);
    }
    const bool        is_known = has_version(number);
    const ExecVersion version  = is_known ? versions_[static_cast<size_t>(number)] : ExecVersion{ 0, -1, -1 };
    uint64_t          id       = node;
    for (int i = 0; i < k_longest_chain; i++) {
        if (const Place * place = place_of(id)) {
            return carry_over(*place, version, i == 0 ? JoinWay::node : JoinWay::clone);
        }
        id = original_of(id);
        if (id == 0) {
            break;
        }
    }
    // The clone itself was not seen. Nodes of a child graph have another graph's numbers; some versions of
    // CUPTI leave the graph's half of an id out.
    if (is_known && (graph_half(node) == version.exec || graph_half(node) == 0)) {
        const Found made = find_local(version.made_from, local_half(node));
        if (made.capture != nullptr) {
            return carry_over({ version.made_from, made.index }, version, JoinWay::local);
        }
    }
    return {};
}

const Capture * GraphNodes::replayed(int32_t number) const {
    if (!has_version(number)) {
        return nullptr;
    }
    const int32_t capture = versions_[static_cast<size_t>(number)].updated_from;
    return capture >= 0 ? &captures_[static_cast<size_t>(capture)] : nullptr;
}

int32_t GraphNodes::latest(uint32_t exec) const {
    const auto known = latest_.find(exec);
    return known != latest_.end() ? known->second : -1;
}

void GraphNodes::forget_removed() {
    for (const uint32_t exec : removed_execs_) {
        latest_.erase(exec);
    }
    std::unordered_set<int32_t> needed;
    for (const auto & [exec, number] : latest_) {
        needed.insert(versions_[static_cast<size_t>(number)].made_from);
        needed.insert(versions_[static_cast<size_t>(number)].updated_from);
    }
    const std::unordered_set<uint32_t> removed(removed_graphs_.begin(), removed_graphs_.end());
    std::unordered_set<uint32_t>       gone(removed_execs_.begin(), removed_execs_.end());
    for (const uint32_t graph : removed) {
        if (graph_captures_.count(graph) == 0) {
            gone.insert(graph);
        }
    }
    for (size_t i = 0; i < captures_.size(); i++) {
        const std::vector<uint32_t> & graphs = captures_[i].cuda_graphs;
        if (!graphs.empty() && removed.count(graphs.front()) > 0 && needed.count(static_cast<int32_t>(i)) == 0) {
            gone.insert(graphs.begin(), graphs.end());
            captures_[i].nodes.clear();
        }
    }
    const auto drop = [&gone](auto & map, const auto & graph_of) {
        for (auto entry = map.begin(); entry != map.end();) {
            entry = gone.count(graph_of(entry->first)) > 0 ? map.erase(entry) : std::next(entry);
        }
    };
    drop(places_, graph_half);
    drop(originals_, graph_half);
    drop(graph_captures_, [](uint32_t graph) { return graph; });
    drop(original_graphs_, [](uint32_t graph) { return graph; });
    const auto is_gone = [&gone](uint32_t graph) { return gone.count(graph) > 0; };
    removed_graphs_.erase(std::remove_if(removed_graphs_.begin(), removed_graphs_.end(), is_gone),
                          removed_graphs_.end());
    removed_execs_.clear();
}

const GraphNodes::Place * GraphNodes::place_of(uint64_t node) const {
    const auto place = places_.find(node);
    return place != places_.end() ? &place->second : nullptr;
}

uint64_t GraphNodes::original_of(uint64_t node) const {
    const auto original = originals_.find(node);
    return original != originals_.end() ? original->second : 0;
}

uint64_t GraphNodes::local_id(int32_t number, uint32_t local) const {
    const bool is_seen = number >= 0 && !capture(number).cuda_graphs.empty();
    return is_seen ? node_id(capture(number).cuda_graphs.front(), local) : 0;
}

int32_t GraphNodes::capture_of(uint32_t graph) const {
    for (int i = 0; i < k_longest_chain; i++) {
        const auto capture = graph_captures_.find(graph);
        if (capture != graph_captures_.end()) {
            return capture->second;
        }
        const auto original = original_graphs_.find(graph);
        if (original == original_graphs_.end()) {
            break;
        }
        graph = original->second;
    }
    return -1;
}

Capture & GraphNodes::open_capture() {
    if (captures_.empty() || captures_.back().run != issue_.run) {
        captures_.emplace_back();
        captures_.back().run = issue_.run;
    }
    return captures_.back();
}

void GraphNodes::append(uint64_t node, NodeKind kind) {
    Capture & capture = open_capture();
    add_graph(graph_half(node));
    places_[node] = { static_cast<int32_t>(captures_.size()) - 1, capture.nodes.size() };
    capture.nodes.push_back({ node, kind, kind == NodeKind::kernel ? launched_name_ : -1, issue_ });
    launched_name_ = -1;
}

void GraphNodes::add_graph(uint32_t graph) {
    std::vector<uint32_t> & graphs = captures_.back().cuda_graphs;
    if (std::find(graphs.begin(), graphs.end(), graph) == graphs.end()) {
        graphs.push_back(graph);
        graph_captures_[graph] = static_cast<int32_t>(captures_.size()) - 1;
    }
}

void GraphNodes::remove(Place place) {
    std::vector<CapturedNode> & nodes = captures_[static_cast<size_t>(place.capture)].nodes;
    nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(place.index));
    for (auto & [node, other] : places_) {
        if (other.capture == place.capture && other.index > place.index) {
            other.index--;
        }
    }
}

void GraphNodes::put_first(int32_t capture, uint32_t graph) {
    if (capture >= 0) {
        std::vector<uint32_t> & graphs = captures_[static_cast<size_t>(capture)].cuda_graphs;
        const auto              own    = std::find(graphs.begin(), graphs.end(), graph);
        if (own != graphs.end()) {
            std::iter_swap(graphs.begin(), own);
        }
    }
}

GraphNodes::Found GraphNodes::found(const Place & place, JoinWay way) const {
    return { &captures_[static_cast<size_t>(place.capture)], place.index, way };
}

GraphNodes::Found GraphNodes::carry_over(const Place & place, const ExecVersion & version, JoinWay way) const {
    // An update keeps the executable graph's own nodes and gives them the parameters of the other capture,
    // whose shape is the same, or it would have failed.
    if (place.capture != version.made_from || version.updated_from == version.made_from) {
        return found(place, way);
    }
    if (version.updated_from < 0) {
        return {};  // by a capture that was not seen
    }
    const Capture & made    = captures_[static_cast<size_t>(version.made_from)];
    const Capture & updated = captures_[static_cast<size_t>(version.updated_from)];
    if (is_same_shape(made, updated)) {
        return found({ version.updated_from, place.index }, way);
    }
    Found local = find_local(version.updated_from, local_half(made.nodes[place.index].id));
    local.way   = local.capture != nullptr ? JoinWay::local : JoinWay::none;
    return local;
}

GraphNodes::Found GraphNodes::find_local(int32_t number, uint32_t local) const {
    const uint64_t id    = local_id(number, local);
    const Place *  place = id != 0 ? place_of(id) : nullptr;
    // An id that was used again is another capture's.
    return place != nullptr && place->capture == number ? found(*place, JoinWay::local) : Found{};
}

void GraphNodes::add_version(const ExecVersion & version) {
    latest_[version.exec] = static_cast<int32_t>(versions_.size());
    versions_.push_back(version);
}

}  // namespace slmprof
