#include "record/recorder.h"

#include "record/custom_types.h"
#include "record/lone_nodes.h"

#include "ggml-backend.h"
#include "ggml.h"

#include <algorithm>

namespace slmprof {
namespace {

constexpr size_t k_marks_capacity = 1 << 16;
constexpr size_t k_runs_capacity  = 1 << 14;

// ggml's own types, of which those that it no longer has leave gaps without a block, and those of users' schemes.
void list_types(TypeColumns & types, StringTable & strings) {
    for (int i = 0; i < GGML_TYPE_COUNT; i++) {
        const auto type = static_cast<ggml_type>(i);
        if (ggml_type_name(type) != nullptr && ggml_blck_size(type) > 0 && ggml_type_size(type) > 0) {
            TypeColumns::Row row;
            row.name         = strings.intern(ggml_type_name(type));
            row.block_size   = static_cast<int32_t>(ggml_blck_size(type));
            row.type_size    = static_cast<int32_t>(ggml_type_size(type));
            row.is_quantized = ggml_is_quantized(type);
            types.append(row);
        }
    }
    for (uint32_t i = 0; i < n_custom_types(); i++) {
        const CustomType & type = custom_type(i);
        TypeColumns::Row   row;
        row.name         = strings.intern(type.name);
        row.block_size   = static_cast<int32_t>(type.block_size);
        row.type_size    = static_cast<int32_t>(type.type_size);
        row.is_quantized = 1;
        types.append(row);
    }
}

}  // namespace

Recorder::Recorder(int n_threads, size_t capacity, bool is_exact)
    : texts_(strings_), graphs_(strings_), reducer_(texts_, tick_scale()), cpu_(n_threads, capacity, is_exact),
      cpu_lane_(static_cast<int32_t>(recording_.lanes.n_rows)), cpu_device_(strings_.intern(cpu_device_name())) {
    cpu_.list(recording_.lanes, strings_);
    list_types(recording_.types, strings_);
    runs_.reserve(k_runs_capacity);
    mask_counts_.reserve(k_runs_capacity);
    copies_.reserve(k_runs_capacity);
    marks_.reserve(k_marks_capacity);
    devices_.reserve(capacity);
}

Recorder::~Recorder() { stop(); }

void Recorder::reserve(size_t capacity) {
    cpu_.reserve(capacity);
    devices_.reserve(capacity);
}

std::vector<AddressRange> Recorder::memory() const {
    std::vector<AddressRange> ranges;
    const auto                add = [&](const auto & items) { ranges.push_back(range_of(items.data(), items.capacity())); };
    const auto add_columns        = [&](const char *, const auto & table) {
        table.visit([&](const std::string &, const auto & column) { add(column); });
    };
    add(runs_);
    add(mask_counts_);
    add(marks_);
    add(copies_);
    cpu_.add_memory(ranges);
    devices_.add_memory(ranges);
    recording_.visit(add_columns);
    add_columns("stats", reducer_.stats());
    return ranges;
}

void Recorder::step_begin(Phase phase, int32_t depth) {
    phase_ = phase;
    depth_ = depth;
    cpu_.begin_step();
    devices_.begin_step();
    n_runs_at_step_   = runs_.size();
    n_copies_at_step_ = copies_.size();
    step_marks_.emplace_back(static_cast<int32_t>(recording_.steps.n_rows), marks_.size());
    mark(read_ticks(), SLMPROF_SEGMENT_BATCH, -1);
}

void Recorder::step_end() {
    mark(read_ticks(), k_step_end, -1);
    for (DeviceLane & lane : devices_.all()) {
        lose_pending(lane);
    }
    cpu_.end_step();
    devices_.end_step();
    largest_marks_ = std::max(largest_marks_, marks_.size() - step_marks_.back().second);
}

void Recorder::abandon_step() {
    cpu_.abandon_step();
    devices_.abandon_step();
    schedule_.clear();
    const auto is_of_step = [this](size_t run) { return run >= n_runs_at_step_; };
    unresolved_.erase(std::remove_if(unresolved_.begin(), unresolved_.end(), is_of_step), unresolved_.end());
    copies_.erase(copies_.begin() + static_cast<std::ptrdiff_t>(n_copies_at_step_), copies_.end());
    n_named_copies_ = std::min(n_named_copies_, copies_.size());
    copies_now_     = false;
    device_now_     = -1;
    runs_.erase(runs_.begin() + static_cast<std::ptrdiff_t>(n_runs_at_step_), runs_.end());
    while (!mask_counts_.empty() && static_cast<size_t>(mask_counts_.back().run) >= n_runs_at_step_) {
        mask_counts_.pop_back();
    }
    marks_.erase(marks_.begin() + static_cast<std::ptrdiff_t>(step_marks_.back().second), marks_.end());
    step_marks_.pop_back();
}

void Recorder::add_step(StepColumns::Row step) {
    const bool is_exceeded = limit_.is_exceeded_by(step, step.pass == static_cast<uint8_t>(Pass::op) && devices_.has_opaque());
    step.set_apart         = is_exceeded && step.pass == static_cast<uint8_t>(Pass::op);
    recording_.steps.append(step);
}

bool Recorder::is_nearly_full() const {
    return cpu_.is_nearly_full() || devices_.is_nearly_full() || marks_.size() + 2 * largest_marks_ + 64 > k_marks_capacity ||
           std::max(runs_.size(), copies_.size()) + largest_marks_ + 64 > k_runs_capacity;
}

void Recorder::mark(uint64_t ticks, int32_t kind, int32_t run) {
    if (copies_now_) {
        copies_.back().end_ticks = ticks;
        copies_now_              = false;
    }
    // Beyond the capacity the time shows as unattributed: marks never allocate within a step.
    if (marks_.size() < k_marks_capacity) {
        marks_.push_back({ ticks, kind, run });
    } else {
        n_dropped_++;
    }
}

void Recorder::enter_segment(int kind) {
    if (kind == SLMPROF_SEGMENT_GRAPH_BUILD && !unresolved_.empty()) {
        // A step of several batches: the next graph may be built where this one stands.
        mark(read_ticks(), k_own_work, -1);
        resolve_graphs();
    }
    if (kind == SLMPROF_SEGMENT_GRAPH_ALLOC) {
        graphs_.forget_addresses();
    }
    mark(read_ticks(), kind, -1);
}

void Recorder::schedule_begin() {
    mark(read_ticks(), k_own_work, -1);
    schedule_.clear();
}

void Recorder::schedule_end() {
    count_masks();
    mark(read_ticks(), SLMPROF_SEGMENT_LAUNCH, -1);
}

void Recorder::count_masks() {
    // The inputs are set, and nothing has been computed yet that could take their place.
    const auto   run   = static_cast<int32_t>(runs_.size());
    const auto & masks = graphs_.masks_of(schedule_);
    for (size_t m = 0; m < masks.size() && mask_counts_.size() < k_runs_capacity; m++) {
        if (masks[m]->data != nullptr && masks[m]->buffer != nullptr && ggml_backend_buffer_is_host(masks[m]->buffer)) {
            const auto [n_pairs, n_keys] = count_unmasked(masks[m], seen_keys_);
            mask_counts_.push_back({ run, static_cast<int32_t>(m), n_pairs, n_keys });
        }
    }
}

RunRecord & Recorder::add_run(const ggml_cgraph * graph) {
    const int32_t split = std::max(schedule_.find(graph), 0);
    RunRecord     run{};
    run.step       = step_marks_.back().first;
    run.graph      = graphs_.find_known(schedule_);
    run.split      = split;
    run.first_node = schedule_.splits()[static_cast<size_t>(split)].first_node;
    run.phase      = phase_;
    run.depth      = depth_;
    run.n_threads  = 1;
    run.device     = -1;
    if (run.graph < 0) {
        unresolved_.push_back(runs_.size());
    }
    runs_.push_back(run);
    return runs_.back();
}

void Recorder::run_begin(ggml_cgraph * graph, int n_threads) {
    mark(read_ticks(), k_own_work, -1);
    if (schedule_.find(graph) < 0) {
        // Without the scheduler.
        schedule_.clear();
        schedule_.add_split(graph, nullptr);
        count_masks();
    }
    RunRecord & run = add_run(graph);
    run.lane        = cpu_lane_;
    run.n_threads   = n_threads;
    cpu_.begin_run(n_threads == 1);
    mark(read_ticks(), SLMPROF_SEGMENT_LAUNCH, static_cast<int32_t>(runs_.size()) - 1);
}

void Recorder::run_end() {
    const uint64_t now     = read_ticks();
    runs_.back().end_ticks = now;
    mark(now, SLMPROF_SEGMENT_OUTPUTS, -1);
}

int32_t Recorder::name_of(ggml_backend_t backend) {
    ggml_backend_dev_t device = ggml_backend_get_device(backend);
    if (device == nullptr || ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU) {
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
    if (one_by_one_ && !lane.tells_ops) {
        status = compute_one_by_one(lane, backend, graph, run);
    } else {
        status                = ggml_backend_graph_compute_async(backend, graph);
        const uint64_t now    = read_ticks();
        run.begin_ticks       = lane.is_async ? now : begin;
        run.end_ticks         = now;
        lane.is_read          = false;
        lane.pending          = lane.is_async ? static_cast<int64_t>(runs_.size()) - 1 : -1;
    }
    device_now_  = -1;
    run.n_events = lane.events.size() - run.first_event;
    mark(std::max(run.begin_ticks, run.end_ticks), SLMPROF_SEGMENT_OUTPUTS, -1);
    return status;
}

ggml_status Recorder::compute_one_by_one(DeviceLane & lane, ggml_backend_t backend, ggml_cgraph * graph, RunRecord & run) {
    const int n_nodes = n_nodes_of(graph);
    int       first   = 0;
    while (first < n_nodes && !is_computed(node_of(graph, first))) {
        first++;
    }
    if (first < n_nodes) {
        await_device(lane, backend, node_of(graph, first));  // for the copies that it was told of
    }
    run.begin_ticks    = read_ticks();
    ggml_status status = GGML_STATUS_SUCCESS;
    for (int i = first; i < n_nodes && status == GGML_STATUS_SUCCESS; i++) {
        if (is_computed(node_of(graph, i))) {
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

void Recorder::resolve_graphs() {
    if (!schedule_.splits().empty() && (!unresolved_.empty() || n_named_copies_ < copies_.size())) {
        const int32_t graph = graphs_.find_or_copy(schedule_);
        for (const size_t run : unresolved_) {
            runs_[run].graph = graph;
        }
        for (; n_named_copies_ < copies_.size(); n_named_copies_++) {
            CopyRecord & copy = copies_[n_named_copies_];
            copy.graph        = graph;
            copy.name         = strings_.intern(ggml_get_name(copy.tensor));
        }
    }
    unresolved_.clear();
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
        if (lane.tells_ops || there == schedule_.splits().end() || std::none_of(first, runs_.end(), runs_there)) {
            continue;
        }
        const uint64_t ticks = time_empty_graph(lane, there->backend, there->graph);
        for (auto run = first; run != runs_.end(); ++run) {
            run->empty_ticks = runs_there(*run) ? ticks : run->empty_ticks;
        }
    }
}

void Recorder::discard() {
    cpu_.clear();
    devices_.clear();
    unresolved_.clear();
    copies_.clear();
    n_named_copies_ = 0;
    copies_now_     = false;
    runs_.clear();
    mask_counts_.clear();
    marks_.clear();
    step_marks_.clear();
}

Recording Recorder::take() {
    graphs_.take(recording_.graphs, recording_.splits, recording_.tensors);
    recording_.stats   = reducer_.take();
    recording_.strings = strings_.texts();
    return std::exchange(recording_, {});
}

}  // namespace slmprof
