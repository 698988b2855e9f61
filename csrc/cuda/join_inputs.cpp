#include "cuda/join_inputs.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace slmprof {
namespace {

// Ordered by number, so that what was made later has the later row.
class InputKeeper {
  public:
    InputKeeper(const GraphNodes & nodes, Joined & joined) : nodes_(nodes), joined_(joined) {}

    void add(const KernelRecord & kernel, const Issue * issue) {
        joined_.issue_of_kernel.push_back(issue != nullptr ? row_of(*issue) : -1);
        int32_t version = issue != nullptr ? issue->version : -1;
        if (issue != nullptr && !issue->is_replay()) {
            return;
        }
        if (issue == nullptr && kernel.graph != 0) {
            version = nodes_.latest(kernel.graph);
        }
        if (nodes_.has_version(version)) {
            versions_.insert(version);
        }
        if (seen_.insert({ version, kernel.graph_node, kernel.source_graph_node }).second) {
            follow(version, kernel.graph_node, kernel.source_graph_node);
        }
    }

    void write() {
        for (const int32_t version : versions_) {
            keep_capture(nodes_.version(version).made_from);
            keep_capture(nodes_.version(version).updated_from);
        }
        write_captures();
        for (const auto & [node, original] : clones_) {
            joined_.inputs.cloned_nodes.append({ 0, node, original });
        }
        for (const int32_t number : versions_) {
            const ExecVersion & version = nodes_.version(number);
            joined_.inputs.graph_versions.append(
                { 0, version.exec, row_in(captures_, version.made_from), row_in(captures_, version.updated_from) });
        }
        for (int32_t & version : joined_.inputs.issues.version) {
            version = row_in(versions_, version);
        }
    }

  private:
    static int32_t row_in(const std::set<int32_t> & numbers, int32_t number) {
        const auto place = numbers.find(number);
        return place != numbers.end() ? static_cast<int32_t>(std::distance(numbers.begin(), place)) : -1;
    }

    int32_t row_of(const Issue & issue) {
        const auto [entry, is_new] = issue_rows_.try_emplace(&issue, static_cast<int32_t>(issue_rows_.size()));
        if (is_new) {
            joined_.inputs.issues.append({ issue.run, issue.node, issue.n_fused, issue.version });
        }
        return entry->second;
    }

    void keep_capture(int32_t capture) {
        if (capture >= 0) {
            captures_.insert(capture);
        }
    }

    void keep_place(uint64_t node) {
        if (const GraphNodes::Place * place = node != 0 ? nodes_.place_of(node) : nullptr) {
            captures_.insert(place->capture);
        }
    }

    // The steps of GraphNodes::find, all of them: what it does not find must be missing from the profile, too.
    void follow(int32_t number, uint64_t node, uint64_t source) {
        keep_place(source);
        const GraphNodes::Place * place = nullptr;
        uint64_t                  id    = node;
        for (int i = 0; i < GraphNodes::k_longest_chain && place == nullptr; i++) {
            place                   = nodes_.place_of(id);
            const uint64_t original = place == nullptr ? nodes_.original_of(id) : 0;
            if (original == 0) {
                break;
            }
            clones_[id] = original;
            id          = original;
        }
        keep_place(id);
        if (!nodes_.has_version(number)) {
            return;
        }
        const ExecVersion & version = nodes_.version(number);
        const uint64_t      local   = nodes_.local_id(version.made_from, local_half(node));
        keep_place(local);
        if (place == nullptr) {
            place = nodes_.place_of(local);
        }
        if (place != nullptr && place->capture == version.made_from) {
            const uint64_t made = nodes_.capture(place->capture).nodes[place->index].id;
            keep_place(nodes_.local_id(version.updated_from, local_half(made)));
        }
    }

    void write_captures() {
        // A node that was copied into the captured graph is known by two ids.
        std::map<std::pair<int32_t, size_t>, std::vector<uint64_t>> others;
        for (const auto & [id, place] : nodes_.places()) {
            if (captures_.count(place.capture) > 0 && nodes_.capture(place.capture).nodes[place.index].id != id) {
                others[{ place.capture, place.index }].push_back(id);
            }
        }
        for (const int32_t number : captures_) {
            const Capture & capture = nodes_.capture(number);
            const auto      row     = static_cast<int32_t>(joined_.inputs.captures.n_rows);
            joined_.inputs.captures.append({ 0, capture.cuda_graphs.empty() ? 0 : capture.cuda_graphs.front() });
            for (size_t i = 0; i < capture.nodes.size(); i++) {
                const CapturedNode &    node = capture.nodes[i];
                std::vector<uint64_t> & ids  = others[{ number, i }];
                std::sort(ids.begin(), ids.end());
                // An id that has become another's, or has been forgotten with it, leads here no more.
                const GraphNodes::Place * place = nodes_.place_of(node.id);
                const bool leads_here = place != nullptr && place->capture == number && place->index == i;
                ids.insert(ids.begin(), leads_here ? node.id : 0);
                for (const uint64_t id : ids) {
                    joined_.inputs.captured_nodes.append({ row, static_cast<int32_t>(i), id, static_cast<uint8_t>(node.kind),
                                                           node.name, node.issue.node, node.issue.n_fused });
                }
            }
        }
    }

    const GraphNodes &                                nodes_;
    Joined &                                          joined_;
    std::unordered_map<const Issue *, int32_t>        issue_rows_;
    std::set<int32_t>                                 versions_, captures_;
    std::map<uint64_t, uint64_t>                      clones_;  // their originals, by id
    std::set<std::tuple<int32_t, uint64_t, uint64_t>> seen_;
};

}  // namespace

void keep_inputs(const Activity & activity, const IssueLog & issues, const GraphNodes & nodes, Joined & joined) {
    const IssueOfCall calls = issues_of_calls(activity, issues);
    InputKeeper       keeper(nodes, joined);
    for (const KernelRecord & kernel : activity.kernels) {
        const auto call = calls.find(kernel.correlation);
        keeper.add(kernel, call != calls.end() ? call->second : nullptr);
    }
    keeper.write();
}

}  // namespace slmprof
