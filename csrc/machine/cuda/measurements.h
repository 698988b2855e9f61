// The parts of a device's ceilings, each on the device that is current.

#pragma once

#include "machine/device_ceilings.h"

#include <cuda_runtime.h>

#include <vector>

namespace slmprof::cuda {

// Keeps the device busy until its clocks have risen from those of an idle one, which takes them several steps.
void warm_up(cudaStream_t stream, const DeviceIdentity & device);

std::vector<DeviceBandwidthRecord> measure_bandwidth(cudaStream_t stream, const DeviceIdentity & device, double seconds);
std::vector<DeviceTransferRecord>  measure_transfers(cudaStream_t stream, double seconds);
std::vector<DevicePeakRecord>      measure_peaks(cudaStream_t stream, const DeviceIdentity & device, double seconds);
double                             measure_op_ns(cudaStream_t stream, double seconds);

}  // namespace slmprof::cuda
