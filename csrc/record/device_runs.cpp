// What ggml's scheduler and the backends of devices beside the CPU tell of a step.

#include "record/lone_nodes.h"
#include "record/recorder.h"

#include "ggml-backend.h"
#include "ggml.h"

#include <algorithm>

namespace slmprof {

void Recorder::schedule_begin() {
    mark(read_ticks(), k_own_work, -1);
    schedule_.clear();
}

void Recorder::schedule_end() {
    count_masks();
    mark(read_ticks(), SLMPROF_SEGMENT_LAUNCH, -1);
}

int32_t Recorder::name_of(ggml_backend_t backend) {
    ggml_backend_dev_t device = ggml_backend_get_device(backend);
    if (is_cpu(device)) {
        return cpu_device_;
    }
    const DeviceLane * lane = devices_.find_known(device);
    return lane != nullptr ? lane->name : strings_.intern(ggml_backend_dev_name(device));
}

void Recorder::copy_begin(const ggml_tensor * tensor, ggml_backend_t source, ggml_backend_t target, const ggml_cgraph * graph) {
    const uint64_t now = read_ticks();
    mark(now, SLMPROF_SEGMENT_COPIES, -1);
    if (copies_.size() == copies_.capacity()) {
        n_dropped_++;
        return;
    }
    CopyRecord copy{};
    copy.step        = step_marks_.back().first;
    copy.graph       = -1;
    copy.split       = std::max(schedule_.find(graph), 0);
    copy.tensor      = tensor;
    copy.from        = name_of(source);
    copy.to          = name_of(target);
    copy.size_bytes  = static_cast<int64_t>(ggml_nbytes(tensor));
    copy.begin_ticks = copy.end_ticks = now;
    copies_.push_back(copy);
    copies_now_ = true;
}

void Recorder::end_pending(DeviceLane & lane, uint64_t ticks) {
    if (lane.pending < 0) {
        return;
    }
    runs_[static_cast<size_t>(lane.pending)].end_ticks = ticks;
    lane.pending                                       = -1;
    if (copies_now_) {
        copies_.back().begin_ticks = ticks;  // it had to wait until then
    }
}

void Recorder::lose_pending(DeviceLane & lane) {
    if (lane.pending >= 0) {
        // Nothing of it was read: when it was done is not known, and its time is in what follows.
        RunRecord & run = runs_[static_cast<size_t>(lane.pending)];
        run.end_ticks   = run.begin_ticks;
        run.is_end_seen = false;
        lane.pending    = -1;
    }
}

void Recorder::synchronized(ggml_backend_t backend) {
    DeviceLane * lane = devices_.find_known(ggml_backend_get_device(backend));
    if (lane != nullptr && (lane->tells_end || lane->is_read)) {
        end_pending(*lane, read_ticks());
    }
}

void Recorder::read(ggml_backend_buffer_t buffer) {
    if (DeviceLane * lane = devices_.find_known(ggml_backend_buft_get_device(ggml_backend_buffer_get_type(buffer)))) {
        end_pending(*lane, read_ticks());
    }
}

void Recorder::read_async(ggml_backend_t backend) {
    if (DeviceLane * lane = devices_.find_known(ggml_backend_get_device(backend))) {
        lane->is_read = true;
    }
}

ggml_status Recorder::compute_split(ggml_backend_t backend, ggml_cgraph * graph) {
    const int32_t number = devices_.find(backend, cpu_.n_lanes(), recording_.lanes, strings_);
    DeviceLane &  lane   = devices_.at(number);
    mark(read_ticks(), k_own_work, -1);
    RunRecord & run = add_run(graph);
    run.lane        = lane.row;
    run.device      = number;
    run.first_event = lane.events.size();
    const uint64_t begin = read_ticks();
    mark(begin, SLMPROF_SEGMENT_LAUNCH, -1);
    lose_pending(lane);
    device_now_        = number;
    ggml_status status = GGML_STATUS_SUCCESS;
    if (one_by_one_ && lane.is_opaque()) {
        status = compute_one_by_one(lane, backend, graph, run);
    } else {
        status                = ggml_backend_graph_compute_async(backend, graph);
        const uint64_t now    = read_ticks();
        // What is traced tells itself how long it waited for its first kernel.
        run.begin_ticks       = lane.is_async && !lane.is_traced ? now : begin;
        run.end_ticks         = now;
        lane.is_read          = false;
        lane.pending          = lane.is_async ? static_cast<int64_t>(runs_.size()) - 1 : -1;
    }
    device_now_  = -1;
    run.traced   = lane.is_traced ? tracer_->last_run() : -1;
    run.n_events = lane.events.size() - run.first_event;
    mark(std::max(run.begin_ticks, run.end_ticks), SLMPROF_SEGMENT_OUTPUTS, -1);
    return status;
}

ggml_status Recorder::compute_one_by_one(DeviceLane & lane, ggml_backend_t backend, ggml_cgraph * graph, RunRecord & run) {
    const int n_nodes = ggml_graph_n_nodes(graph);
    int       first   = 0;
    while (first < n_nodes && !is_computed(ggml_graph_node(graph, first))) {
        first++;
    }
    if (first < n_nodes) {
        await_device(lane, backend, ggml_graph_node(graph, first));  // for the copies that it was told of
    }
    run.begin_ticks    = read_ticks();
    ggml_status status = GGML_STATUS_SUCCESS;
    for (int i = first; i < n_nodes && status == GGML_STATUS_SUCCESS; i++) {
        if (is_computed(ggml_graph_node(graph, i))) {
            const uint64_t begin = read_ticks();
            status               = compute_alone(lane, backend, graph, i);
            lane.append(begin, read_ticks(), i, SLMPROF_CODE(SLMPROF_PATH_REMOTE, 0, 0, 0));
        }
    }
    run.end_ticks = read_ticks();
    return status;
}

void Recorder::node_begin() {
    if (device_now_ >= 0) {
        devices_.at(device_now_).op_begin_ticks = read_ticks();
    }
}

void Recorder::node_end(int node, uint32_t path) {
    if (device_now_ >= 0) {
        DeviceLane & lane = devices_.at(device_now_);
        lane.append(lane.op_begin_ticks, read_ticks(), node, path);
    }
}

void Recorder::time_empty_graphs() {
    if (!one_by_one_) {
        return;
    }
    for (size_t number = 0; number < devices_.all().size(); number++) {
        const DeviceLane & lane = devices_.all()[number];
        const auto         runs_there = [&](const RunRecord & run) { return run.device == static_cast<int32_t>(number); };
        const auto         first = runs_.begin() + static_cast<std::ptrdiff_t>(n_runs_at_step_);
        const auto         there = std::find_if(schedule_.splits().begin(), schedule_.splits().end(),
                                                [&](const ScheduledSplit & split) { return split.device == lane.device; });
        if (!lane.is_opaque() || there == schedule_.splits().end() || std::none_of(first, runs_.end(), runs_there)) {
            continue;
        }
        const uint64_t ticks = time_empty_graph(lane, there->backend, there->graph);
        for (auto run = first; run != runs_.end(); ++run) {
            run->empty_ticks = runs_there(*run) ? ticks : run->empty_ticks;
        }
    }
}

}  // namespace slmprof
