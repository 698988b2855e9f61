#include "record/device_lanes.h"

#include "ggml-backend-impl.h"

#include <algorithm>
#include <cstring>

namespace slmprof {

bool is_of_backend(ggml_backend_dev_t device, const char * name) {
    ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(device);
    return registry != nullptr && std::strcmp(ggml_backend_reg_name(registry), name) == 0;
}

void DeviceLane::append(uint64_t begin_ticks, uint64_t end_ticks, int node, uint32_t path) {
    if (events.size() == events.capacity()) {
        n_dropped++;
        return;
    }
    OpEvent event{};
    event.begin_ticks = begin_ticks;
    event.end_ticks   = end_ticks;
    event.place       = slmprof_place(node, 0, 0);
    event.path        = path;
    events.push_back(event);
}

void DeviceLanes::reserve(size_t capacity) {
    capacity_ = std::max(capacity_, capacity);
    for (DeviceLane & lane : lanes_) {
        lane.events.reserve(capacity_);
    }
}

int32_t DeviceLanes::find(ggml_backend_t backend, int32_t n_lanes_before, LaneColumns & lanes, StringTable & strings) {
    ggml_backend_dev_t device = ggml_backend_get_device(backend);
    const auto         known  = std::find_if(lanes_.begin(), lanes_.end(),
                                             [&](const DeviceLane & lane) { return lane.device == device; });
    if (known != lanes_.end()) {
        return static_cast<int32_t>(known - lanes_.begin());
    }
    DeviceLane lane{};
    lane.device    = device;
    lane.name      = strings.intern(ggml_backend_dev_name(device));
    lane.row       = n_lanes_before + static_cast<int32_t>(lanes_.size());
    lane.is_async  = backend->iface.synchronize != nullptr;
    // A remote device answers what it is asked for only: to be synchronized with it is to have told it everything.
    lane.tells_end = !is_of_backend(device, "RPC");
    lane.tells_ops = is_of_backend(device, "BLAS");
    lane.is_traced = tracer_ != nullptr && tracer_->traces(device);
    lane.pending   = -1;
    lane.events.reserve(capacity_);
    LaneColumns::Row row;
    row.kind   = strings.intern(lane.is_traced ? "gpu" : lane.tells_ops ? "accelerator" : "device");
    row.device = lane.name;
    row.clock  = static_cast<uint8_t>(LaneClock::host);
    lanes.append(row);
    lanes_.push_back(std::move(lane));
    return static_cast<int32_t>(lanes_.size()) - 1;
}

DeviceLane * DeviceLanes::find_known(ggml_backend_dev_t device) {
    for (DeviceLane & lane : lanes_) {
        if (lane.device == device) {
            return &lane;
        }
    }
    return nullptr;
}

bool DeviceLanes::has_opaque() const {
    return std::any_of(lanes_.begin(), lanes_.end(), [](const DeviceLane & lane) { return lane.is_opaque(); });
}

void DeviceLanes::begin_step() {
    for (DeviceLane & lane : lanes_) {
        lane.n_events_at_step = lane.events.size();
    }
}

void DeviceLanes::end_step() {
    for (DeviceLane & lane : lanes_) {
        lane.largest_step = std::max(lane.largest_step, lane.events.size() - lane.n_events_at_step);
    }
}

void DeviceLanes::abandon_step() {
    for (DeviceLane & lane : lanes_) {
        lane.events.resize(std::min(lane.events.size(), lane.n_events_at_step));
        lane.pending = -1;
    }
}

bool DeviceLanes::is_nearly_full() const {
    return std::any_of(lanes_.begin(), lanes_.end(), [](const DeviceLane & lane) {
        return lane.events.capacity() - lane.events.size() < 2 * lane.largest_step;
    });
}

void DeviceLanes::clear() {
    for (DeviceLane & lane : lanes_) {
        lane.events.clear();
        lane.n_dropped        = 0;
        lane.n_events_at_step = 0;
    }
}

void DeviceLanes::add_memory(std::vector<AddressRange> & ranges) const {
    for (const DeviceLane & lane : lanes_) {
        ranges.push_back(range_of(lane.events.data(), lane.events.capacity()));
    }
}

}  // namespace slmprof
