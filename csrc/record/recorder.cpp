#include "record/recorder.h"

#include "record/custom_types.h"

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
            row.number       = i;
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
        row.number       = -1;
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
    const bool    is_op  = step.pass == static_cast<uint8_t>(Pass::op);
    const bool    one_by_one = is_op && devices_.has_opaque();
    // To record kernels, or whole replays, makes steps longer.
    const uint8_t kind = tracer_ != nullptr ? step.pass : static_cast<uint8_t>(one_by_one);
    step.set_apart     = limit_.is_exceeded_by(step, kind) && is_op;
    recording_.steps.append(step);
}

bool Recorder::is_nearly_full() const {
    return cpu_.is_nearly_full() || devices_.is_nearly_full() || (tracer_ != nullptr && tracer_->is_nearly_full()) || marks_.size() + 2 * largest_marks_ + 64 > k_marks_capacity ||
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
