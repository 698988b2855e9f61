// From what the buffers hold to columns.

#include "record/recorder.h"

#include <algorithm>
#include <tuple>

namespace slmprof {

void Recorder::collect(EventMode mode) {
    const TickScale & scale = tick_scale();
    cpu_.await_pending();
    const auto first_row = static_cast<int32_t>(recording_.runs.n_rows);

    RunEvents               events;
    std::vector<LaneEvents> of_cpu;
    size_t                  n_cpu_runs = 0;
    RoutingCursor           routing = cpu_.read_routings();
    std::vector<uint64_t>   run_begin_ticks;
    // Which run lost them is not known; the last one is where the room ended.
    int64_t n_dropped = cpu_.n_dropped();
    for (const DeviceLane & lane : devices_.all()) {
        n_dropped += lane.n_dropped;
    }
    n_dropped += std::exchange(n_dropped_, 0);
    const DeviceActivity traced  = collect_traced(mode);
    const RunActivity *  next    = traced.runs.data();
    for (const RunRecord & run : runs_) {
        const RunActivity * activity = run.traced >= 0 && !traced.runs.empty() ? next++ : nullptr;
        if (run.device < 0) {
            cpu_.read_run(n_cpu_runs++, of_cpu);
            events.lanes = of_cpu;
        } else {
            const OpEvent * first = devices_.at(run.device).events.data() + run.first_event;
            events.lanes          = { LaneEvents{ first, first + run.n_events } };
        }
        const LaneEvents & lead  = events.lanes[0];
        const bool         knows = run.device >= 0 || lead.first == lead.last;
        run_begin_ticks.push_back(!knows ? lead.first->begin_ticks : run.device >= 0 ? run.begin_ticks : run.end_ticks);
        events.record = &run;
        events.end_ns = scale.to_ns(run.end_ticks);
        collect_run(run, scale.to_ns(run_begin_ticks.back()), activity, &run == &runs_.back() ? n_dropped : 0);
        if (activity != nullptr) {
            collect_kernels(run, *activity, mode);
        } else if (mode == EventMode::all) {
            collect_events(events, routing);
        } else if (mode == EventMode::aggregate && !recording_.steps.set_apart[static_cast<size_t>(run.step)]) {
            reducer_.add(events, routing);
        }
    }
    collect_segments(run_begin_ticks);
    collect_copies();
    collect_masks(first_row);
    discard();
}

DeviceActivity Recorder::collect_traced(EventMode mode) {
    if (tracer_ == nullptr) {
        return {};
    }
    if (mode == EventMode::none) {
        tracer_->forget();
        return {};
    }
    const TickScale &    scale = tick_scale();
    std::vector<HostRun> asked;
    std::vector<int32_t> steps;
    const auto           first_run = static_cast<int32_t>(recording_.runs.n_rows);
    std::vector<int32_t> rows, first_nodes;
    for (size_t i = 0; i < runs_.size(); i++) {
        const RunRecord & run = runs_[i];
        if (run.traced >= 0) {
            asked.push_back({ run.traced, run.graph, scale.to_ns(run.begin_ticks), scale.to_ns(run.end_ticks), run.is_end_seen });
            steps.push_back(run.step);
            rows.push_back(first_run + static_cast<int32_t>(i));
            first_nodes.push_back(run.first_node);
        }
    }
    DeviceActivity made = tracer_->collect(asked, mode == EventMode::all);
    if (asked.empty()) {
        return made;
    }
    made.summary.step = steps.back();
    recording_.traces.append(made.summary);
    for (size_t i = 0; i < made.strays.n_rows; i++) {
        recording_.stray_kernels.append({ steps.back(), made.strays.name[i], made.strays.calls[i], made.strays.total_ns[i] });
    }
    for (size_t i = 0; i < made.transfers.n_rows; i++) {
        TransferColumns::Row row = made.transfers.row(i);
        row.step                 = steps.back();
        recording_.transfers.append(row);
    }
    const auto trace       = static_cast<int32_t>(recording_.traces.n_rows) - 1;
    const auto first_issue = static_cast<int32_t>(recording_.issues.n_rows);
    collect_inputs(made.inputs, trace, rows);
    for (size_t i = 0; i < made.launches.n_rows; i++) {
        LaunchColumns::Row row = made.launches.row(i);
        const bool         is_known = row.run >= 0;
        row.step  = is_known ? steps[static_cast<size_t>(row.run)] : steps.back();
        row.trace = trace;
        row.issue += row.issue >= 0 ? first_issue : 0;
        if (is_known) {
            const size_t asked_row = static_cast<size_t>(row.run);
            row.node += row.node >= 0 ? first_nodes[asked_row] : 0;
            row.run = rows[asked_row];
        }
        recording_.launches.append(row);
    }
    return made;
}

void Recorder::collect_inputs(const JoinInputs & inputs, int32_t trace, const std::vector<int32_t> & run_rows) {
    const auto moved = [](int32_t row, int32_t first) { return row >= 0 ? row + first : -1; };
    const auto first_capture = static_cast<int32_t>(recording_.captures.n_rows);
    const auto first_version = static_cast<int32_t>(recording_.graph_versions.n_rows);
    for (size_t i = 0; i < inputs.captures.n_rows; i++) {
        recording_.captures.append({ trace, inputs.captures.cuda_graph[i] });
    }
    for (size_t i = 0; i < inputs.captured_nodes.n_rows; i++) {
        CapturedNodeColumns::Row row = inputs.captured_nodes.row(i);
        row.capture                  = moved(row.capture, first_capture);
        recording_.captured_nodes.append(row);
    }
    for (size_t i = 0; i < inputs.cloned_nodes.n_rows; i++) {
        ClonedNodeColumns::Row row = inputs.cloned_nodes.row(i);
        row.trace                  = trace;
        recording_.cloned_nodes.append(row);
    }
    for (size_t i = 0; i < inputs.graph_versions.n_rows; i++) {
        GraphVersionColumns::Row row = inputs.graph_versions.row(i);
        row.trace                    = trace;
        row.made_from                = moved(row.made_from, first_capture);
        row.updated_from             = moved(row.updated_from, first_capture);
        recording_.graph_versions.append(row);
    }
    for (size_t i = 0; i < inputs.issues.n_rows; i++) {
        IssueColumns::Row row = inputs.issues.row(i);
        row.run               = row.run >= 0 ? run_rows[static_cast<size_t>(row.run)] : -1;
        row.version           = moved(row.version, first_version);
        recording_.issues.append(row);
    }
}

void Recorder::collect_kernels(const RunRecord & run, const RunActivity & traced, EventMode mode) {
    EventColumns::Row row;
    row.run     = static_cast<int32_t>(recording_.runs.n_rows - 1);
    row.lane    = run.lane;
    row.convert = -1;
    if (mode == EventMode::aggregate && recording_.steps.set_apart[static_cast<size_t>(run.step)]) {
        return;
    }
    int64_t covered_ns = traced.begin_ns;
    for (const NodeKernel & kernel : traced.kernels) {
        if (mode == EventMode::all) {
            row.node     = run.first_node + kernel.node;
            row.n_fused  = kernel.n_fused;
            row.path     = kernel.name;
            row.begin_ns = kernel.begin_ns;
            row.end_ns   = kernel.end_ns;
            recording_.events.append(row);
        } else {
            // What two kernels share is the earlier one's.
            reducer_.add_kernel(run, kernel, std::max<int64_t>(kernel.end_ns - std::max(kernel.begin_ns, covered_ns), 0));
        }
        covered_ns = std::max(covered_ns, kernel.end_ns);
    }
}

void Recorder::collect_run(const RunRecord & run, int64_t begin_ns, const RunActivity * traced, int64_t n_dropped) {
    const TickScale & scale = tick_scale();
    RunColumns::Row   row;
    row.step      = run.step;
    row.graph     = run.graph;
    row.split     = graphs_.first_split(run.graph) + run.split;
    row.lane      = run.lane;
    row.n_threads = run.n_threads;
    row.n_dropped = n_dropped;
    row.begin_ns  = begin_ns;
    row.end_ns    = scale.to_ns(run.end_ticks);
    row.is_end_seen = run.is_end_seen;
    row.empty_ns    = scale.duration_ns(run.empty_ticks);
    if (traced != nullptr) {
        row.begin_ns    = traced->begin_ns;
        row.end_ns      = traced->end_ns;
        row.is_end_seen = 1;  // by its kernels
        std::tie(row.gap_copy_ns, row.gap_host_ns, row.gap_launch_ns, row.gap_device_ns, row.gap_unknown_ns) =
            std::tuple_cat(traced->gap_ns);
    }
    recording_.runs.append(row);
}

void Recorder::collect_copies() {
    const TickScale & scale = tick_scale();
    for (const CopyRecord & copy : copies_) {
        CopyColumns::Row row;
        row.step       = copy.step;
        row.split      = graphs_.first_split(copy.graph) + copy.split;
        row.tensor     = copy.name;
        row.source     = copy.from;
        row.target     = copy.to;
        row.size_bytes = copy.size_bytes;
        row.begin_ns   = scale.to_ns(copy.begin_ticks);
        row.end_ns     = scale.to_ns(std::max(copy.begin_ticks, copy.end_ticks));
        recording_.copies.append(row);
    }
}

void Recorder::collect_events(const RunEvents & run, RoutingCursor & routing) {
    const TickScale & scale = tick_scale();
    // A thread that had no share of the work may not have come to the place that tells what ran.
    node_paths_.clear();
    for (const LaneEvents & lane : run.lanes) {
        for (const OpEvent * event = lane.first; event != lane.last; event++) {
            node_paths_.resize(std::max<size_t>(node_paths_.size(), event->node() + 1));
            uint32_t & path = node_paths_[event->node()];
            path            = path != 0 ? path : event->path;
        }
    }
    EventColumns::Row row;
    row.run  = static_cast<int32_t>(recording_.runs.n_rows - 1);
    row.lane = run.record->lane;
    for (const LaneEvents & lane : run.lanes) {
        for (const OpEvent * event = lane.first; event != lane.last; event++) {
            const uint32_t path = node_paths_[event->node()];
            row.node            = run.record->first_node + static_cast<int32_t>(event->node());
            row.n_fused         = static_cast<uint16_t>(event->n_fused());
            row.path            = texts_.path(event->path != 0 ? event->path : path);
            row.begin_ns        = scale.to_ns(event->begin_ticks);
            row.end_ns          = scale.to_ns(event->end_ticks);
            row.convert         = event->converts() ? texts_.conversion(path) : -1;
            row.convert_ns      = event->converts() ? scale.duration_ns(event->convert_ticks) : 0;
            row.resume_ns       = event->converts() ? scale.duration_ns(event->resume_ticks) : 0;
            row.n_experts       = run.record->device < 0 && row.lane == run.record->lane ? routing.experts_of(*event) : 0;
            recording_.events.append(row);
        }
        row.lane++;
    }
}

void Recorder::collect_segments(const std::vector<uint64_t> & run_begin_ticks) {
    const TickScale & scale = tick_scale();
    for (size_t s = 0; s < step_marks_.size(); s++) {
        const size_t last = s + 1 < step_marks_.size() ? step_marks_[s + 1].second : marks_.size();
        for (size_t m = step_marks_[s].second; m + 1 < last; m++) {
            const SegmentMark & mark = marks_[m];
            if (mark.kind >= k_own_work) {
                continue;
            }
            const uint64_t end = mark.run >= 0 ? run_begin_ticks[static_cast<size_t>(mark.run)] : marks_[m + 1].ticks;
            SegmentColumns::Row row;
            row.step     = step_marks_[s].first;
            row.kind     = static_cast<uint8_t>(mark.kind);
            row.begin_ns = scale.to_ns(mark.ticks);
            row.end_ns   = scale.to_ns(end);
            recording_.segments.append(row);
        }
    }
}

void Recorder::collect_masks(int32_t first_row) {
    for (const MaskCount & count : mask_counts_) {
        if (static_cast<size_t>(count.run) >= runs_.size()) {
            continue;  // of a graph that was not run
        }
        const int32_t graph = runs_[static_cast<size_t>(count.run)].graph;
        MaskColumns::Row row;
        row.run     = first_row + count.run;
        row.tensor  = graphs_.mask_row(graph, count.mask);
        row.n_pairs = count.n_pairs;
        row.n_keys  = count.n_keys;
        recording_.masks.append(row);
    }
}

}  // namespace slmprof
