#include "cuda/joiner.h"

#include <algorithm>

namespace slmprof {
namespace {

// A record with what it was joined to so far.
struct Match {
    const Issue *     launched = nullptr;  // what was open when it was launched
    GraphNodes::Found found;
    JoinWay           way = JoinWay::none;
};

// The records of one replay.
struct Replay {
    int32_t             version;
    std::vector<size_t> rows;
};

template <typename Record>
std::vector<Match> match(const std::vector<Record> & records, const IssueOfCall & calls, const GraphNodes & nodes) {
    std::vector<Match> matches(records.size());
    for (size_t i = 0; i < records.size(); i++) {
        const Record & record = records[i];
        Match &        made   = matches[i];
        const auto     call   = calls.find(record.correlation);
        made.launched         = call != calls.end() ? call->second : nullptr;
        if (made.launched != nullptr && !made.launched->is_replay()) {
            made.way = JoinWay::launch;
        } else if (record.graph != 0 || record.graph_node != 0 || record.source_graph_node != 0) {
            const int32_t version = made.launched != nullptr ? made.launched->version : nodes.latest(record.graph);
            made.found            = nodes.find(version, record.graph_node, record.source_graph_node);
            made.way              = made.found.way;
        }
    }
    return matches;
}

// By correlation, which all records of one replay share.
std::vector<Replay> replays_of(const std::vector<KernelRecord> & kernels, const std::vector<Match> & matches) {
    std::vector<Replay>                  replays;
    std::unordered_map<uint32_t, size_t> numbers;
    for (size_t i = 0; i < kernels.size(); i++) {
        const Issue * issue = matches[i].launched;
        if (issue != nullptr && issue->is_replay()) {
            const auto [number, is_new] = numbers.try_emplace(kernels[i].correlation, replays.size());
            if (is_new) {
                replays.push_back({ issue->version, {} });
            }
            replays[number->second].rows.push_back(i);
        }
    }
    return replays;
}

// The positions of the captured kernels among the nodes.
std::vector<size_t> kernels_of(const Capture & capture) {
    std::vector<size_t> kernels;
    for (size_t i = 0; i < capture.nodes.size(); i++) {
        if (capture.nodes[i].kind == NodeKind::kernel) {
            kernels.push_back(i);
        }
    }
    return kernels;
}

bool is_named_otherwise(const CapturedNode & node, const KernelRecord & kernel) {
    return node.name >= 0 && kernel.name != node.name;
}

// The order of capture is that of execution on one stream; forked streams overlap as they like.
bool has_order(const std::vector<KernelRecord> & kernels, const std::vector<size_t> & rows) {
    return std::all_of(rows.begin(), rows.end(), [&](size_t row) {
        return kernels[row].stream == kernels[rows.front()].stream && kernels[row].begin_ns != 0;
    });
}

void check_order(const std::vector<KernelRecord> & kernels, Replay & replay, const GraphNodes & nodes,
                 std::vector<Match> & matches, JoinReport & report) {
    const Capture * capture = nodes.replayed(replay.version);
    if (capture == nullptr || !has_order(kernels, replay.rows)) {
        report.n_unordered_replays++;
        return;
    }
    const std::vector<size_t> captured = kernels_of(*capture);
    std::vector<size_t> &     rows     = replay.rows;
    if (captured.size() != rows.size()) {
        report.n_unordered_replays++;
        return;
    }
    std::stable_sort(rows.begin(), rows.end(),
                     [&](size_t a, size_t b) { return kernels[a].begin_ns < kernels[b].begin_ns; });
    bool is_believable = true;
    for (size_t i = 0; i < rows.size(); i++) {
        const Match & made = matches[rows[i]];
        report.n_ordered++;
        is_believable = is_believable && !is_named_otherwise(capture->nodes[captured[i]], kernels[rows[i]]);
        if (made.way != JoinWay::none && (made.found.capture != capture || made.found.index != captured[i])) {
            report.n_misplaced++;
            is_believable = false;
        }
    }
    for (size_t i = 0; i < rows.size() && is_believable; i++) {
        Match & made = matches[rows[i]];
        if (made.way == JoinWay::none) {
            made.found = { capture, captured[i], JoinWay::order };
            made.way   = JoinWay::order;
        }
    }
}

JoinColumns::Row row_of(const Match & made, const IssueLog & issues, JoinReport & report) {
    JoinColumns::Row row;
    row.run   = made.launched != nullptr ? made.launched->run : -1;
    row.graph = issues.graph_of(row.run);
    row.node  = -1;
    row.way   = static_cast<uint8_t>(made.way);
    if (made.way == JoinWay::launch) {
        row.node    = made.launched->node;
        row.n_fused = made.launched->n_fused;
    } else if (made.way != JoinWay::none) {
        row.node    = made.found.node().issue.node;
        row.n_fused = made.found.node().issue.n_fused;
        if (row.graph < 0) {
            row.graph = made.found.capture->graph;
        }
        report.n_other_graph += made.found.capture->graph >= 0 && made.found.capture->graph != row.graph ? 1 : 0;
    }
    return row;
}

std::vector<StrayKernels> list(const std::unordered_map<int32_t, StrayKernels> & by_name) {
    std::vector<StrayKernels> strays;
    for (const auto & [name, kernels] : by_name) {
        strays.push_back(kernels);
    }
    std::sort(strays.begin(), strays.end(), [](const StrayKernels & a, const StrayKernels & b) {
        return a.total_ns != b.total_ns ? a.total_ns > b.total_ns : a.name < b.name;
    });
    return strays;
}

}  // namespace

IssueOfCall issues_of_calls(const Activity & activity, const IssueLog & issues) {
    IssueOfCall calls;
    for (const ExternalCorrelation & external : activity.externals) {
        if (const Issue * issue = issues.find(external.issue)) {
            calls[external.correlation] = issue;
        }
    }
    return calls;
}

Joined join(const Activity & activity, const IssueLog & issues, const GraphNodes & nodes) {
    const IssueOfCall calls = issues_of_calls(activity, issues);
    Joined            joined;
    JoinReport &      report = joined.report;
    report.counts            = activity.counts;

    std::vector<Match> kernels = match(activity.kernels, calls, nodes);
    for (Replay & replay : replays_of(activity.kernels, kernels)) {
        check_order(activity.kernels, replay, nodes, kernels, report);
    }
    std::unordered_map<int32_t, StrayKernels> strays;
    for (size_t i = 0; i < kernels.size(); i++) {
        const KernelRecord & kernel = activity.kernels[i];
        const Match &        made   = kernels[i];
        joined.kernels.append(row_of(made, issues, report));
        report.n_kernels[static_cast<size_t>(made.way)]++;
        report.kernel_ns += duration_ns(kernel);
        if (made.way == JoinWay::none) {
            StrayKernels & stray = strays.try_emplace(kernel.name, StrayKernels{ kernel.name, 0, 0 }).first->second;
            stray.n++;
            stray.total_ns += duration_ns(kernel);
            continue;
        }
        report.joined_ns += duration_ns(kernel);
        if (made.found.capture != nullptr && is_named_otherwise(made.found.node(), kernel)) {
            report.n_misnamed++;
        }
    }
    report.strays = list(strays);

    for (const Match & made : match(activity.copies, calls, nodes)) {
        joined.copies.append(row_of(made, issues, report));
        report.n_copies[static_cast<size_t>(made.way)]++;
    }
    return joined;
}

}  // namespace slmprof
