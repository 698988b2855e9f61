#include "cuda/clock_alignment.h"

#include <algorithm>
#include <cmath>

namespace slmprof {
namespace {

// Closer readings give no slope: their own errors would be all of it. Clocks that are a few parts in a
// million apart drift by less than a microsecond meanwhile.
constexpr int64_t k_least_span_ns = 50'000'000;

int64_t width(const ClockReading & reading) { return reading.host_after_ns - reading.host_before_ns; }
int64_t middle(const ClockReading & reading) { return reading.host_before_ns + width(reading) / 2; }

}  // namespace

int64_t ClockAlignment::to_host_ns(int64_t device_ns) const {
    return host_base_ns + std::llround(static_cast<double>(device_ns - device_base_ns) * host_per_device);
}

int64_t ClockAlignment::to_device_ns(int64_t host_ns) const {
    return device_base_ns + std::llround(static_cast<double>(host_ns - host_base_ns) / host_per_device);
}

ClockAlignment align_clocks(const std::vector<ClockReading> & readings) {
    ClockAlignment line;
    if (readings.empty()) {
        return line;
    }
    const auto is_earlier = [](const ClockReading & a, const ClockReading & b) { return a.device_ns < b.device_ns; };
    const auto [first, last] = std::minmax_element(readings.begin(), readings.end(), is_earlier);
    const int64_t middle_ns  = first->device_ns + (last->device_ns - first->device_ns) / 2;
    const ClockReading * early = nullptr;
    const ClockReading * late  = nullptr;
    for (const ClockReading & reading : readings) {
        const ClockReading *& best = reading.device_ns <= middle_ns ? early : late;
        if (best == nullptr || width(reading) < width(*best)) {
            best = &reading;
        }
    }
    const bool has_slope = late != nullptr && late->device_ns - early->device_ns >= k_least_span_ns;
    if (!has_slope && late != nullptr && width(*late) < width(*early)) {
        early = late;
    }
    line.device_base_ns = early->device_ns;
    line.host_base_ns   = middle(*early);
    line.error_ns       = (width(*early) + 1) / 2;
    if (has_slope) {
        line.host_per_device = static_cast<double>(middle(*late) - middle(*early)) /
                               static_cast<double>(late->device_ns - early->device_ns);
        line.error_ns = std::max(line.error_ns, (width(*late) + 1) / 2);
    }
    int64_t missed = 0;
    for (const ClockReading & reading : readings) {
        const int64_t host_ns = line.to_host_ns(reading.device_ns);
        missed = std::max({ missed, reading.host_before_ns - host_ns, host_ns - reading.host_after_ns });
    }
    line.error_ns += missed;
    return line;
}

}  // namespace slmprof
