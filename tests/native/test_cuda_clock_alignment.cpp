// The host's clock beside CUPTI's.

#include "cuda/clock_alignment.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

using namespace slmprof;

namespace {

constexpr int64_t k_epoch_ns = 1'700'000'000'000'000'000;  // CUPTI's times are of this size

// The host's time of a device's: 40 parts in a million faster, and begun at another time.
int64_t host_of(int64_t device_ns) {
    return 5'000'000 + (device_ns - k_epoch_ns) + std::llround(static_cast<double>(device_ns - k_epoch_ns) * 40e-6);
}

ClockReading reading(int64_t after_ns, int64_t before_width_ns, int64_t after_width_ns) {
    const int64_t device_ns = k_epoch_ns + after_ns;
    return { host_of(device_ns) - before_width_ns, device_ns, host_of(device_ns) + after_width_ns };
}

}  // namespace

TEST_SUITE_BEGIN("cuda clock alignment");

TEST_CASE("no reading is no alignment, one is an offset") {
    CHECK(align_clocks({}).error_ns == -1);
    const ClockAlignment one = align_clocks({ { 100, 5000, 120 } });
    CHECK(one.to_host_ns(5000) == 110);
    CHECK(one.to_host_ns(5100) == 210);
    CHECK(one.to_device_ns(210) == 5100);
    CHECK(one.error_ns == 10);
}

TEST_CASE("the slope comes from the tightest readings at both ends, and the error is what they leave") {
    const ClockAlignment line =
        align_clocks({ reading(0, 900, 100), reading(1'000'000, 20, 20), reading(500'000'000, 400, 90),
                       reading(999'000'000, 30, 30), reading(1'000'000'000, 500, 800) });
    CHECK(line.error_ns == 30);
    CHECK(line.host_per_device == doctest::Approx(1.00004).epsilon(1e-7));
    for (const int64_t after_ns : { 0, 300'000'000, 1'000'000'000 }) {
        const int64_t device_ns = k_epoch_ns + after_ns;
        CHECK(std::llabs(line.to_host_ns(device_ns) - host_of(device_ns)) <= line.error_ns);
        CHECK(std::llabs(line.to_device_ns(line.to_host_ns(device_ns)) - device_ns) <= 1);
    }
}

TEST_CASE("a bracket that the line misses adds to the error") {
    ClockReading stray = reading(500'000'000, 10, 10);
    stray.host_before_ns += 250;
    stray.host_after_ns += 250;
    CHECK(align_clocks({ reading(0, 20, 20), reading(1'000'000'000, 20, 20) }).error_ns == 20);
    const ClockAlignment line = align_clocks({ reading(0, 5, 5), stray, reading(1'000'000'000, 5, 5) });
    CHECK(line.error_ns == 5 + 240);
}

TEST_CASE("readings that are close together give no slope") {
    const ClockAlignment line = align_clocks({ reading(0, 400, 400), reading(1000, 10, 10), reading(2000, 9, 9) });
    CHECK(line.host_per_device == 1.0);
    CHECK(line.error_ns == 9);
}

TEST_SUITE_END();
