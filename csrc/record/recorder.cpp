#include "record/recorder.h"

#include "record/clock.h"
#include "record/path_names.h"
#include "ggml-backend.h"
#include "ggml.h"

#include <algorithm>
#include <cstdint>
#include <thread>

namespace slmprof {

namespace {

// A mark that is no segment: the recorder's own work, and the end of a step.
constexpr int32_t k_own_work = 100;
constexpr int32_t k_step_end = 101;

constexpr size_t k_marks_capacity = 1 << 16;
constexpr size_t k_runs_capacity  = 1 << 14;
constexpr size_t k_routings_capacity = 1 << 16;

}  // namespace

Recorder::Recorder(int n_threads, size_t capacity, bool is_exact) :
    threads_(static_cast<size_t>(n_threads)),
    n_events_at_step_(threads_.size()),
    graphs_(strings_) {
    reserve(capacity);
    for (slmprof_thread & thread : threads_) {
        thread.is_exact = is_exact;
    }
    runs_.reserve(k_runs_capacity);
    run_steps_.reserve(k_runs_capacity);
    mask_counts_.reserve(k_runs_capacity);
    marks_.reserve(k_marks_capacity);
}

std::vector<AddressRange> Recorder::memory(const Recording & collected) const {
    std::vector<AddressRange> ranges;
    const auto                add = [&](const auto * items, size_t n) {
        ranges.push_back({ reinterpret_cast<uintptr_t>(items), n * sizeof(*items) });
    };
    const auto add_all = [&](const auto &... columns) { (add(columns.data(), columns.capacity()), ...); };
    add_all(runs_, run_steps_, mask_counts_, marks_);
    for (const slmprof_thread & thread : threads_) {
        add(thread.first, static_cast<size_t>(thread.end - thread.first));
        add_all(thread.routings);
    }
    const EventColumns & events = collected.events;
    add_all(events.run, events.node, events.path, events.convert, events.n_experts, events.n_fused, events.thread,
            events.begin_ns, events.end_ns, events.convert_ns, events.resume_ns);
    return ranges;
}

void Recorder::reserve(size_t capacity) {
    for (slmprof_thread & thread : threads_) {
        if (static_cast<size_t>(thread.end - thread.first) >= capacity) {
            continue;
        }
        thread.events.reset();
        thread.first = thread.next = thread.end = nullptr;
        // Value-initialised: the pages are touched now and not in the hot path.
        thread.events = std::make_unique<OpEvent[]>(capacity);
        thread.first = thread.next = thread.events.get();
        thread.end                 = thread.first + capacity;
    }
    // Of a mixture of experts' ops about one in ten is a routed product.
    threads_[0].routings.reserve(std::max(k_routings_capacity, capacity / 4));
}

Recorder::~Recorder() {
    stop();
}

void Recorder::step_begin(int32_t step, Phase phase, int32_t depth) {
    step_             = step;
    run_step_         = { phase, depth };
    for (size_t t = 0; t < threads_.size(); t++) {
        n_events_at_step_[t] = static_cast<size_t>(threads_[t].next - threads_[t].first);
    }
    n_runs_at_step_   = runs_.size();
    step_marks_.emplace_back(step, marks_.size());
    mark(read_ticks(), SLMPROF_SEGMENT_BATCH, -1);
}

void Recorder::step_end() {
    mark(read_ticks(), k_step_end, -1);
    const auto n_events = static_cast<size_t>(threads_[0].next - threads_[0].first);
    largest_step_       = std::max(largest_step_, n_events - n_events_at_step_[0]);
    largest_marks_      = std::max(largest_marks_, marks_.size() - step_marks_.back().second);
}

void Recorder::abandon_step() {
    await_pending();
    for (size_t t = 0; t < threads_.size(); t++) {
        threads_[t].next = threads_[t].first + n_events_at_step_[t];
    }
    const auto is_of_step = [this](const auto & entry) { return entry.first >= n_runs_at_step_; };
    unresolved_.erase(std::remove_if(unresolved_.begin(), unresolved_.end(), is_of_step), unresolved_.end());
    runs_.erase(runs_.begin() + static_cast<std::ptrdiff_t>(n_runs_at_step_), runs_.end());
    run_steps_.erase(run_steps_.begin() + static_cast<std::ptrdiff_t>(n_runs_at_step_), run_steps_.end());
    while (!mask_counts_.empty() && static_cast<size_t>(mask_counts_.back().run) >= n_runs_at_step_) {
        mask_counts_.pop_back();
    }
    std::vector<RoutingRecord> & routings = threads_[0].routings;
    while (!routings.empty() && routings.back().event >= static_cast<size_t>(threads_[0].next - threads_[0].first)) {
        routings.pop_back();
    }
    marks_.erase(marks_.begin() + static_cast<std::ptrdiff_t>(step_marks_.back().second), marks_.end());
    step_marks_.pop_back();
}

bool Recorder::is_nearly_full() const {
    const auto room = static_cast<size_t>(threads_[0].end - threads_[0].next);
    return room < 2 * largest_step_ || k_marks_capacity - marks_.size() < 2 * largest_marks_ + 64 ||
           k_runs_capacity - runs_.size() < largest_marks_ + 64;
}

void Recorder::mark(uint64_t ticks, int32_t kind, int32_t run) {
    // Beyond the capacity the time shows as unattributed: marks never allocate within a step.
    if (marks_.size() < k_marks_capacity) {
        marks_.push_back({ ticks, kind, run });
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

void Recorder::run_begin(ggml_cgraph * graph, int n_threads) {
    mark(read_ticks(), k_own_work, -1);
    const size_t run = runs_.size();
    runs_.push_back({ step_, graphs_.find_known(graph), n_threads, 0 });
    run_steps_.push_back(run_step_);
    // The inputs are set, and nothing has been computed yet that could take their place.
    const auto & masks = graphs_.masks_of(graph);
    for (size_t m = 0; m < masks.size(); m++) {
        if (masks[m]->data != nullptr && ggml_backend_buffer_is_host(masks[m]->buffer)) {
            const auto [n_pairs, n_keys] = count_unmasked(masks[m], seen_keys_);
            mask_counts_.push_back({ static_cast<int32_t>(run), static_cast<int32_t>(m), n_pairs, n_keys });
        }
    }
    if (runs_.back().graph < 0) {
        unresolved_.emplace_back(run, graph);
    }
    // The other threads are idle until the graph is launched.
    for (slmprof_thread & thread : threads_) {
        thread.run      = run_tag(run);
        thread.is_alone = n_threads == 1;
    }
    mark(read_ticks(), SLMPROF_SEGMENT_LAUNCH, static_cast<int32_t>(run));
}

void Recorder::resolve_graphs() {
    for (const auto & [run, graph] : unresolved_) {
        runs_[run].graph = graphs_.find_or_copy(graph);
    }
    unresolved_.clear();
}

void Recorder::run_end() {
    const uint64_t now     = read_ticks();
    runs_.back().end_ticks = now;
    mark(now, SLMPROF_SEGMENT_OUTPUTS, -1);
}

int32_t Recorder::path_text(uint32_t code) {
    const auto [entry, is_new] = path_texts_.try_emplace(code, -1);
    if (is_new) {
        entry->second = strings_.intern(path_name(code));
    }
    return entry->second;
}

int32_t Recorder::conversion_text(uint32_t code) {
    const auto [entry, is_new] = conversion_texts_.try_emplace(code, -1);
    if (is_new) {
        entry->second = strings_.intern(conversion_name(code));
    }
    return entry->second;
}

void Recorder::collect(EventMode mode, Recording & recording) {
    const TickScale & scale = tick_scale();
    await_pending();
    if (recording.stats.phase.empty()) {
        stat_rows_.clear();  // a new recording: its rows begin anew
    }
    const auto first_row = static_cast<int32_t>(recording.runs.step.size());

    // The events of each run on each thread: they lie one run after another.
    std::vector<const OpEvent *> cursors;
    for (const slmprof_thread & thread : threads_) {
        cursors.push_back(thread.first);
    }
    uint64_t n_dropped = 0;
    for (const slmprof_thread & thread : threads_) {
        n_dropped += thread.n_dropped;
    }

    std::vector<RoutingRecord> & routings = threads_[0].routings;
    routings.push_back({ UINT32_MAX, 0 });  // an end that no event reaches
    const RoutingRecord * routing = routings.data();

    std::vector<uint64_t> run_begin_ticks(runs_.size(), 0);
    std::vector<std::pair<const OpEvent *, const OpEvent *>> ranges(threads_.size());
    for (size_t r = 0; r < runs_.size(); r++) {
        for (size_t t = 0; t < threads_.size(); t++) {
            const OpEvent * first = cursors[t];
            while (cursors[t] != threads_[t].next && cursors[t]->run() == run_tag(r)) {
                cursors[t]++;
            }
            ranges[t] = { first, cursors[t] };
        }
        const RunRecord & run    = runs_[r];
        const bool        is_empty = ranges[0].first == ranges[0].second;
        run_begin_ticks[r]       = is_empty ? run.end_ticks : ranges[0].first->begin_ticks;
        const int64_t end_ns     = scale.to_ns(run.end_ticks);
        recording.runs.step.push_back(run.step);
        recording.runs.graph.push_back(run.graph);
        recording.runs.n_threads.push_back(run.n_threads);
        // Which run lost them is not known; the last one is where the room ended.
        recording.runs.n_dropped.push_back(r + 1 == runs_.size() ? static_cast<int64_t>(n_dropped) : 0);
        recording.runs.begin_ns.push_back(scale.to_ns(run_begin_ticks[r]));
        recording.runs.end_ns.push_back(end_ns);
        collect_run(mode, recording, run, end_ns, ranges, routing);
    }
    collect_segments(recording, run_begin_ticks);
    collect_masks(recording, first_row);
    discard();
}

void Recorder::await_pending() {
    for (const slmprof_thread & thread : threads_) {
        // The thread has passed the last barrier, or is about to write its event down there.
        while (thread.is_pending.load(std::memory_order_acquire)) {
            std::this_thread::yield();
        }
    }
}

void Recorder::discard() {
    for (slmprof_thread & thread : threads_) {
        thread.next      = thread.first;
        thread.n_dropped = 0;
        thread.is_last   = false;  // runs are counted anew: the next one is no part of the last
    }
    threads_[0].routings.clear();
    unresolved_.clear();
    runs_.clear();
    run_steps_.clear();
    mask_counts_.clear();
    marks_.clear();
    step_marks_.clear();
}

void Recorder::collect_segments(Recording & recording, const std::vector<uint64_t> & run_begin_ticks) {
    const TickScale & scale = tick_scale();
    for (size_t s = 0; s < step_marks_.size(); s++) {
        const size_t last = s + 1 < step_marks_.size() ? step_marks_[s + 1].second : marks_.size();
        for (size_t m = step_marks_[s].second; m + 1 < last; m++) {
            const SegmentMark & mark = marks_[m];
            if (mark.kind >= k_own_work) {
                continue;
            }
            const uint64_t end = mark.run >= 0 ? run_begin_ticks[static_cast<size_t>(mark.run)] : marks_[m + 1].ticks;
            recording.segments.step.push_back(step_marks_[s].first);
            recording.segments.kind.push_back(static_cast<uint8_t>(mark.kind));
            recording.segments.begin_ns.push_back(scale.to_ns(mark.ticks));
            recording.segments.end_ns.push_back(scale.to_ns(end));
        }
    }
}

void Recorder::collect_masks(Recording & recording, int32_t first_row) {
    MaskColumns & masks = recording.masks;
    for (const MaskCount & count : mask_counts_) {
        masks.run.push_back(first_row + count.run);
        masks.tensor.push_back(graphs_.mask_row(runs_[static_cast<size_t>(count.run)].graph, count.mask));
        masks.n_pairs.push_back(count.n_pairs);
        masks.n_keys.push_back(count.n_keys);
    }
}

void Recorder::collect_run(EventMode mode, Recording & recording, const RunRecord & run, int64_t end_ns,
                           const std::vector<std::pair<const OpEvent *, const OpEvent *>> & ranges,
                           const RoutingRecord *& routing) {
    const TickScale & scale = tick_scale();
    const auto        row   = static_cast<int32_t>(recording.runs.step.size() - 1);
    // Routings stand in the order of thread 0's events; those of dropped events lead nowhere.
    const auto experts_of = [&](const OpEvent * event) {
        const auto number = static_cast<uint32_t>(event - threads_[0].first);
        while (routing->event < number) {
            routing++;
        }
        return routing->event == number ? routing->n_experts : 0;
    };

    if (mode == EventMode::all) {
        EventColumns & events = recording.events;
        for (size_t t = 0; t < ranges.size(); t++) {
            for (const OpEvent * event = ranges[t].first; event != ranges[t].second; event++) {
                const bool converts = event->convert_ticks > k_converting;
                events.run.push_back(row);
                events.node.push_back(static_cast<int32_t>(event->node()));
                events.path.push_back(path_text(event->path));
                events.n_fused.push_back(static_cast<uint16_t>(event->n_fused()));
                events.thread.push_back(static_cast<uint16_t>(t));
                events.begin_ns.push_back(scale.to_ns(event->begin_ticks));
                events.end_ns.push_back(scale.to_ns(event->end_ticks));
                events.convert.push_back(converts ? conversion_text(event->path) : -1);
                events.convert_ns.push_back(converts ? scale.duration_ns(event->convert_ticks) : 0);
                events.resume_ns.push_back(converts ? scale.duration_ns(event->resume_ticks) : 0);
                events.n_experts.push_back(t == 0 ? static_cast<int32_t>(experts_of(event)) : 0);
            }
        }
        return;
    }

    // Threads execute the same ops in the same order, so the i-th event of each is the same op.
    const auto    n_ops = static_cast<size_t>(ranges[0].second - ranges[0].first);
    const RunStep step  = run_steps_[static_cast<size_t>(&run - runs_.data())];
    for (size_t i = 0; i < n_ops; i++) {
        const OpEvent & own   = ranges[0].first[i];
        const int64_t   begin = scale.to_ns(own.begin_ticks);
        const int64_t   next  = i + 1 < n_ops ? scale.to_ns(ranges[0].first[i + 1].begin_ticks) : end_ns;

        // Unless they told, all threads go on after the conversion when the last one has done its share.
        int64_t converted = begin;
        for (const auto & [first, last] : ranges) {
            if (i < static_cast<size_t>(last - first) && first[i].convert_ticks > k_converting) {
                converted = std::max(converted, scale.to_ns(first[i].begin_ticks) + scale.duration_ns(first[i].convert_ticks));
            }
        }
        converted = std::min(own.resume_ticks > 0 ? begin + scale.duration_ns(own.resume_ticks) : converted, next);

        OpTimes op{ next - converted }, conversion{ converted - begin };
        int     n = 0;
        for (const auto & [first, last] : ranges) {
            const auto n_own = static_cast<size_t>(last - first);
            if (i >= n_own) {
                continue;
            }
            const int64_t own_begin = scale.to_ns(first[i].begin_ticks);
            const int64_t own_end   = scale.to_ns(first[i].end_ticks);
            const int64_t until     = i + 1 < n_own ? scale.to_ns(first[i + 1].begin_ticks) : end_ns;
            int64_t       from      = own_begin;
            if (first[i].convert_ticks > k_converting) {
                const auto share = static_cast<double>(scale.duration_ns(first[i].convert_ticks));
                from             = first[i].resume_ticks > 0 ? own_begin + scale.duration_ns(first[i].resume_ticks) : converted;
                from             = std::clamp(from, own_begin, own_end);
                conversion.compute += share;
                conversion.slowest = std::max(conversion.slowest, share);
                conversion.wait += std::max(static_cast<double>(from - own_begin) - share, 0.0);
            }
            const auto busy = static_cast<double>(own_end - from);
            op.compute += busy;
            op.slowest = std::max(op.slowest, busy);
            // A thread may read the clock behind the last barrier after the first one has ended the run.
            op.wait += static_cast<double>(std::max<int64_t>(until - own_end, 0));
            n++;
        }
        for (OpTimes * times : { &op, &conversion }) {
            times->compute /= n;
            times->wait /= n;
        }

        // A thread that had no share of the work may not have come to the place that tells.
        uint32_t path = own.path;
        for (const auto & [first, last] : ranges) {
            if (path == 0 && i < static_cast<size_t>(last - first)) {
                path = first[i].path;
            }
        }
        OpKey key{ static_cast<uint8_t>(step.phase), 0,
                   static_cast<uint16_t>(own.n_fused()), step.depth,
                   run.graph, static_cast<int32_t>(own.node()), path_text(path) };
        const uint32_t n_experts = experts_of(&own);
        add_stat(recording.stats, key, op, n_experts);
        if (converted > begin) {
            key.stage = 1;
            key.path  = conversion_text(path);
            add_stat(recording.stats, key, conversion, n_experts);
        }
    }
}

void Recorder::add_stat(StatColumns & stats, const OpKey & key, const OpTimes & times, uint32_t n_experts) {
    const auto [entry, is_new] = stat_rows_.try_emplace(key, stats.phase.size());
    if (is_new) {
        stats.phase.push_back(key.phase);
        stats.depth.push_back(key.depth);
        stats.graph.push_back(key.graph);
        stats.node.push_back(key.node);
        stats.path.push_back(key.path);
        stats.n_fused.push_back(key.n_fused);
        stats.stage.push_back(key.stage);
        stats.calls.push_back(0);
        stats.span_sum_ns.push_back(0);
        stats.span_min_ns.push_back(INT64_MAX);
        stats.span_max_ns.push_back(0);
        stats.span_sq_sum.push_back(0);
        stats.compute_sum_ns.push_back(0);
        stats.compute_max_sum_ns.push_back(0);
        stats.wait_sum_ns.push_back(0);
        stats.n_experts_sum.push_back(0);
    }
    const size_t s = entry->second;
    stats.calls[s] += 1;
    stats.span_sum_ns[s] += times.span;
    stats.span_min_ns[s] = std::min(stats.span_min_ns[s], times.span);
    stats.span_max_ns[s] = std::max(stats.span_max_ns[s], times.span);
    stats.span_sq_sum[s] += static_cast<double>(times.span) * static_cast<double>(times.span);
    stats.compute_sum_ns[s] += times.compute;
    stats.compute_max_sum_ns[s] += times.slowest;
    stats.wait_sum_ns[s] += times.wait;
    stats.n_experts_sum[s] += n_experts;
}

}  // namespace slmprof
