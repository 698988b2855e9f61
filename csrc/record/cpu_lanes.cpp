#include "record/cpu_lanes.h"

#include "ggml-backend.h"

#include <algorithm>
#include <numeric>
#include <thread>

namespace slmprof {

constexpr size_t k_routings_capacity = 1 << 16;

std::string cpu_device_name() {
    return ggml_backend_dev_name(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU));
}

bool is_cpu(ggml_backend_device * device) {
    return device == nullptr || ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU;
}

CpuLanes::CpuLanes(int n_threads, size_t capacity, bool is_exact)
    : slots_(static_cast<size_t>(n_threads)), events_(slots_.size()), n_events_at_step_(slots_.size()) {
    reserve(capacity);
    for (slmprof_thread & thread : slots_) {
        thread.is_exact = is_exact;
    }
}

void CpuLanes::reserve(size_t capacity) {
    for (size_t t = 0; t < slots_.size(); t++) {
        slmprof_thread & thread = slots_[t];
        if (static_cast<size_t>(thread.end - thread.first) >= capacity) {
            continue;
        }
        events_[t].reset();
        thread.first = thread.next = thread.end = nullptr;
        // Value-initialised: the pages are touched now and not in the hot path.
        events_[t]   = std::make_unique<OpEvent[]>(capacity);
        thread.first = thread.next = events_[t].get();
        thread.end                 = thread.first + capacity;
    }
    // Of a mixture of experts' ops about one in ten is a routed product.
    routings_.reserve(std::max(k_routings_capacity, capacity / 4));
}

void CpuLanes::list(LaneColumns & lanes, StringTable & strings) const {
    LaneColumns::Row row;
    row.kind   = strings.intern("cpu_thread");
    row.device = strings.intern(cpu_device_name());
    row.clock  = static_cast<uint8_t>(LaneClock::host);
    for (size_t t = 0; t < slots_.size(); t++) {
        row.index = static_cast<int32_t>(t);
        lanes.append(row);
    }
}

void CpuLanes::begin_step() {
    await_pending();
    std::transform(slots_.begin(), slots_.end(), n_events_at_step_.begin(), n_events);
    n_runs_at_step_ = n_runs_;
}

void CpuLanes::end_step() {
    // All threads execute the same ops, and the first one is the caller's own: the others may still
    // be writing.
    largest_step_ = std::max(largest_step_, n_events(slots_[0]) - n_events_at_step_[0]);
}

void CpuLanes::abandon_step() {
    await_pending();
    for (size_t t = 0; t < slots_.size(); t++) {
        slots_[t].next = slots_[t].first + n_events_at_step_[t];
    }
    n_runs_ = n_runs_at_step_;
    while (!routings_.empty() && routings_.back().event >= n_events(slots_[0])) {
        routings_.pop_back();
    }
}

void CpuLanes::begin_run(bool is_alone) {
    // The other threads are idle until the graph is launched.
    for (slmprof_thread & thread : slots_) {
        thread.run      = run_tag(n_runs_);
        thread.is_alone = is_alone;
    }
    n_runs_++;
}

void CpuLanes::await_pending() const {
    for (const slmprof_thread & thread : slots_) {
        // The thread has passed the last barrier, or is about to write its event down there.
        while (__atomic_load_n(&thread.is_pending, __ATOMIC_ACQUIRE)) {
            std::this_thread::yield();
        }
    }
}

void CpuLanes::note_experts(uint32_t n_experts) {
    if (routings_.size() < routings_.capacity()) {
        routings_.push_back({ static_cast<uint32_t>(n_events(slots_[0])), n_experts });
    }
}

void CpuLanes::read_run(size_t run, std::vector<LaneEvents> & lanes) const {
    lanes.resize(slots_.size());
    for (size_t t = 0; t < slots_.size(); t++) {
        LaneEvents & lane = lanes[t];
        lane.first = lane.last = run == 0 ? slots_[t].first : lane.last;
        while (lane.last != slots_[t].next && lane.last->run() == run_tag(run)) {
            lane.last++;
        }
    }
}

RoutingCursor CpuLanes::read_routings() {
    routings_.push_back({ UINT32_MAX, 0 });
    return { slots_[0].first, routings_ };
}

int64_t CpuLanes::n_dropped() const {
    return std::accumulate(slots_.begin(), slots_.end(), int64_t{ 0 }, [](int64_t n, const slmprof_thread & thread) {
        return n + static_cast<int64_t>(thread.n_dropped);
    });
}

void CpuLanes::clear() {
    n_runs_ = n_runs_at_step_ = 0;
    for (slmprof_thread & thread : slots_) {
        thread.next      = thread.first;
        thread.n_dropped = 0;
        thread.is_last   = false;  // runs are counted anew: the next one is no part of the last
    }
    routings_.clear();
}

void CpuLanes::add_memory(std::vector<AddressRange> & ranges) const {
    for (const slmprof_thread & thread : slots_) {
        ranges.push_back(range_of(thread.first, static_cast<size_t>(thread.end - thread.first)));
    }
    ranges.push_back(range_of(routings_.data(), routings_.capacity()));
}

}  // namespace slmprof
