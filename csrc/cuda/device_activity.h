// Joined records as the recorder wants them: run by run, on the host's clock.

#pragma once

#include "cuda/clock_alignment.h"
#include "cuda/joiner.h"
#include "record/kernel_tracer.h"

#include <vector>

namespace slmprof {

// A run on a device, by CUDA's number of it.
struct DeviceRun {
    HostRun  host;
    uint32_t device;
};

// Runs in the order in which they were told. What is joined to another run is left out.
DeviceActivity sort_by_run(const Activity & activity, const Joined & joined, const std::vector<DeviceRun> & runs,
                           const ClockAlignment & clocks, bool keeps_kernels);

}  // namespace slmprof
