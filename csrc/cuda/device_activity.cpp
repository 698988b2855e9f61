#include "cuda/device_activity.h"

#include "cuda/device_timeline.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <unordered_map>

namespace slmprof {
namespace {

// The runs by the tracer's numbers of them.
class RunNumbers {
  public:
    explicit RunNumbers(const std::vector<DeviceRun> & runs) {
        for (size_t i = 0; i < runs.size(); i++) {
            numbers_[runs[i].host.number] = static_cast<int32_t>(i);
        }
    }

    // -1 for none, -2 for one that nobody asks for: of a step that was abandoned.
    int32_t find(int32_t run) const {
        const auto number = numbers_.find(run);
        return number != numbers_.end() ? number->second : run < 0 ? -1 : -2;
    }

  private:
    std::unordered_map<int32_t, int32_t> numbers_;
};

template <typename Record> void put_on_host(std::vector<Record> & records, const ClockAlignment & clocks) {
    for (Record & record : records) {
        if (record.begin_ns != 0) {
            record.begin_ns = clocks.to_host_ns(record.begin_ns);
            record.end_ns   = clocks.to_host_ns(record.end_ns);
        }
    }
}

// Whole records rather than their sums: what is rounded then still adds up.
Activity on_host_clock(const Activity & activity, const ClockAlignment & clocks) {
    Activity made = activity;
    put_on_host(made.kernels, clocks);
    put_on_host(made.copies, clocks);
    put_on_host(made.calls, clocks);
    return made;
}

LaunchColumns::Row launch_row(const KernelRecord & record, const JoinColumns & joins, size_t i, int32_t run) {
    LaunchColumns::Row row;
    row.run                  = run;
    row.node                 = joins.node[i];
    row.n_fused              = joins.n_fused[i];
    row.way                  = joins.way[i];
    row.name                 = record.name;
    row.begin_ns             = record.begin_ns;
    row.end_ns               = record.end_ns;
    row.device               = record.device;
    row.stream               = record.stream;
    row.grid                 = record.grid;
    row.block                = record.block;
    row.registers            = record.registers;
    row.static_shared_bytes  = record.static_shared_bytes;
    row.dynamic_shared_bytes = record.dynamic_shared_bytes;
    row.correlation          = record.correlation;
    row.cuda_graph           = record.graph;
    row.cuda_node            = record.graph_node;
    row.source_cuda_node     = record.source_graph_node;
    return row;
}

void count_way(uint8_t way, TraceColumns::Row & summary) {
    int64_t * const counts[] = { &summary.n_stray,    &summary.n_launched, &summary.n_by_source, &summary.n_by_node,
                                 &summary.n_by_clone, &summary.n_by_local, &summary.n_by_order };
    static_assert(sizeof(counts) / sizeof(counts[0]) == k_n_join_ways, "one count for each way");
    ++*counts[way];
}

void summarize(const JoinReport & report, TraceColumns::Row & summary) {
    summary.n_ordered           = report.n_ordered;
    summary.n_misplaced         = report.n_misplaced;
    summary.n_misnamed          = report.n_misnamed;
    summary.n_unordered_replays = report.n_unordered_replays;
    summary.n_dropped           = report.counts.n_dropped;
    summary.n_untimed           = report.counts.n_untimed;
    summary.n_reversed          = report.counts.n_reversed;
    summary.n_broken            = report.counts.n_broken;
}

// The inputs of the join, but for issues of runs that nobody asks for. Returns each kernel's row among the issues.
std::vector<int32_t> keep_issues(const Joined & joined, const RunNumbers & numbers, JoinInputs & made) {
    const IssueColumns & issues = joined.inputs.issues;
    made                        = joined.inputs;
    made.issues                 = {};
    std::vector<int32_t> rows(issues.n_rows, -1);
    for (size_t i = 0; i < issues.n_rows; i++) {
        IssueColumns::Row row = issues.row(i);
        row.run               = numbers.find(row.run);
        if (row.run >= -1) {
            rows[i] = static_cast<int32_t>(made.issues.n_rows);
            made.issues.append(row);
        }
    }
    std::vector<int32_t> of_kernel = joined.issue_of_kernel;
    for (int32_t & issue : of_kernel) {
        issue = issue >= 0 ? rows[static_cast<size_t>(issue)] : -1;
    }
    return of_kernel;
}

// The kernels go to their runs, the others to the strays.
void sort_kernels(const Activity & activity, const Joined & joined, const std::vector<DeviceRun> & runs,
                  bool keeps_kernels, DeviceActivity & made) {
    const RunNumbers                     numbers(runs);
    const std::vector<int32_t>           issues = keeps_kernels ? keep_issues(joined, numbers, made.inputs) : std::vector<int32_t>{};
    std::map<int32_t, StrayColumns::Row> strays;  // by name
    for (size_t i = 0; i < activity.kernels.size(); i++) {
        const KernelRecord & record = activity.kernels[i];
        const int32_t        run    = numbers.find(joined.kernels.run[i]);
        if (run < -1) {
            continue;
        }
        LaunchColumns::Row row = launch_row(record, joined.kernels, i, run);
        if (run < 0) {
            // A node of a run that nobody knows is no op.
            row.node    = -1;
            row.n_fused = 0;
            row.way     = static_cast<uint8_t>(JoinWay::none);
        }
        row.issue = !issues.empty() ? issues[i] : -1;
        count_way(row.way, made.summary);
        made.summary.kernel_ns += duration_ns(record);
        if (row.node < 0) {
            StrayColumns::Row & stray = strays[row.name];
            stray.name                = row.name;
            stray.calls++;
            stray.total_ns += duration_ns(record);
        } else {
            made.summary.joined_ns += duration_ns(record);
            made.runs[static_cast<size_t>(run)].kernels.push_back({ row.node, row.n_fused, row.name, row.begin_ns, row.end_ns });
        }
        if (keeps_kernels) {
            made.launches.append(row);
        }
    }
    for (const auto & [name, stray] : strays) {
        made.strays.append(stray);
    }
}

// Copies and fills by kind, of the runs that are asked for and of none.
void sum_transfers(const Activity & activity, const Joined & joined, const std::vector<DeviceRun> & runs, DeviceActivity & made) {
    const RunNumbers                        numbers(runs);
    std::map<uint8_t, TransferColumns::Row> sums;  // by kind
    for (size_t i = 0; i < activity.copies.size(); i++) {
        const DeviceCopyRecord & record = activity.copies[i];
        const int32_t            run    = numbers.find(joined.copies.run[i]);
        if (run < -1) {
            continue;
        }
        TransferColumns::Row & sum = sums[record.kind];
        sum.kind                   = record.kind;
        sum.calls++;
        sum.n_joined += run >= 0 && joined.copies.node[i] >= 0 ? 1 : 0;
        sum.size_bytes += static_cast<int64_t>(record.size_bytes);
        sum.total_ns += duration_ns(record);
    }
    for (const auto & [kind, sum] : sums) {
        made.transfers.append(sum);
    }
}

// When each run was under way: from when it was told to its end, but as long as none of its kernels has begun not
// before the run before it had ended, on whatever device: it waits for that one's result, or for its turn.
void find_windows(const std::vector<DeviceRun> & runs, DeviceActivity & made) {
    int64_t ended = 0;
    for (size_t i = 0; i < runs.size(); i++) {
        const HostRun & host = runs[i].host;
        RunActivity &   run  = made.runs[i];
        int64_t         first = INT64_MAX, last = host.begin_ns;
        for (const NodeKernel & kernel : run.kernels) {
            if (kernel.begin_ns != 0) {
                first = std::min(first, kernel.begin_ns);
                last  = std::max(last, kernel.end_ns);
            }
        }
        run.end_ns   = host.is_end_seen ? host.end_ns : last;
        run.begin_ns = std::min(std::max(host.begin_ns, std::min(first, ended)), run.end_ns);
        ended        = std::max(ended, run.end_ns);
    }
}

void cut(RunActivity & run) {
    for (NodeKernel & kernel : run.kernels) {
        kernel.begin_ns = std::clamp(kernel.begin_ns, run.begin_ns, run.end_ns);
        kernel.end_ns   = std::clamp(kernel.end_ns, kernel.begin_ns, run.end_ns);
    }
    std::stable_sort(run.kernels.begin(), run.kernels.end(),
                     [](const NodeKernel & a, const NodeKernel & b) { return a.begin_ns < b.begin_ns; });
}

}  // namespace

DeviceActivity sort_by_run(const Activity & recorded, const Joined & joined, const std::vector<DeviceRun> & runs,
                           const ClockAlignment & clocks, bool keeps_kernels) {
    const Activity activity = on_host_clock(recorded, clocks);
    DeviceActivity made;
    made.runs.resize(runs.size());
    summarize(joined.report, made.summary);
    made.summary.clock_error_ns = clocks.error_ns;
    sort_kernels(activity, joined, runs, keeps_kernels, made);
    sum_transfers(activity, joined, runs, made);
    find_windows(runs, made);
    std::map<uint32_t, DeviceTimeline> timelines;
    for (size_t i = 0; i < runs.size(); i++) {
        RunActivity & run = made.runs[i];
        const auto    timeline =
            timelines.try_emplace(runs[i].device, activity, runs[i].device).first;
        run.gap_ns = timeline->second.within({ run.begin_ns, run.end_ns }).gap_ns;
        if (joined.report.counts.n_dropped > 0) {
            // A kernel may have run there of which there is no record.
            const int64_t gaps = std::accumulate(run.gap_ns.begin(), run.gap_ns.end(), int64_t(0));
            run.gap_ns         = {};
            run.gap_ns[static_cast<size_t>(GapKind::unknown)] = gaps;
        }
        cut(run);
    }
    return made;
}

}  // namespace slmprof
