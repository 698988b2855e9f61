#include "cuda/issues.h"

namespace slmprof {

int32_t IssueLog::begin_run(int32_t device) {
    runs_.push_back({ device, -1 });
    return last_run();
}

uint64_t IssueLog::begin(int32_t node) {
    Issue issue;
    issue.run  = last_run();
    issue.node = node;
    return add(issue);
}

uint64_t IssueLog::begin_replay(int32_t version) {
    Issue issue;
    issue.run     = last_run();
    issue.version = version;
    return add(issue);
}

void IssueLog::end(uint16_t n_fused) {
    if (!issues_.empty()) {
        issues_.back().n_fused = n_fused;
    }
}

const Issue * IssueLog::find(uint64_t id) const {
    const bool is_here = id >= first_id_ && id - first_id_ < issues_.size();
    return is_here ? &issues_[id - first_id_] : nullptr;
}

void IssueLog::set_graph(int32_t number, int32_t graph) {
    if (run(number) != nullptr) {
        runs_[static_cast<size_t>(number - first_run_)].graph = graph;
    }
}

int32_t IssueLog::graph_of(int32_t number) const { return run(number) != nullptr ? run(number)->graph : -1; }

int32_t IssueLog::device_of(int32_t number) const { return run(number) != nullptr ? run(number)->device : -1; }

void IssueLog::clear() {
    first_id_ += issues_.size();
    first_run_ += static_cast<int32_t>(runs_.size());
    issues_.clear();
    runs_.clear();
}

uint64_t IssueLog::add(const Issue & issue) {
    issues_.push_back(issue);
    return first_id_ + issues_.size() - 1;
}

const IssueLog::Run * IssueLog::run(int32_t number) const {
    const bool is_here = number >= first_run_ && number <= last_run();
    return is_here ? &runs_[static_cast<size_t>(number - first_run_)] : nullptr;
}

}  // namespace slmprof
