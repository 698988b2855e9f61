// What a CUDA device can do at best: bytes per second from its memory, from its last cache and over the link
// to the host, and operations per second of the instructions that ggml's kernels are made of.
// docs/roofline.md says how. Of this, a build without CUDA needs nothing.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace slmprof {

struct DeviceIdentity {
    std::string name;
    int         compute_capability = 0;  // 86 for 8.6
    int         n_multiprocessors  = 0;
    uint64_t    memory_bytes       = 0;
    uint64_t    l2_bytes           = 0;
    double      nominal_gbps       = 0;  // of its memory, by clock and width of the bus; 0 where it does not tell
    int         cuda_driver        = 0;  // the version of CUDA that the driver has: 13000 for 13.0
    std::string compiled_for;            // the architectures that this build has code for
};

struct DeviceBandwidthRecord {
    std::string level;      // L2, memory
    std::string operation;  // read, copy
    uint64_t    working_set_bytes = 0;
    double      gbps              = 0;  // 10^9 bytes per second
};

// Of one kind of instruction. Without a figure where the device, or the code that this build has for it, does
// not offer it.
struct DevicePeakRecord {
    std::string           name;
    std::string           unit;         // tensor: the tensor cores; core: the ordinary ones
    std::optional<double> gflops = {};  // 10^9 operations per second; a multiply-add is two, of integers too
};

struct DeviceTransferRecord {
    std::string direction;  // to_device, to_host
    uint64_t    size_bytes = 0;
    double      gbps       = 0;  // 10^9 bytes per second from or to memory that the system cannot move
};

struct DeviceCeilings {
    DeviceIdentity                     identity;
    std::vector<DeviceBandwidthRecord> bandwidth;
    std::vector<DevicePeakRecord>      peaks;
    std::vector<DeviceTransferRecord>  transfers;
    double                             op_ns = 0;  // of a kernel that does nothing, in a CUDA graph of many
};

// What a device says of itself; it runs nothing there.
// Throws std::invalid_argument where there is no such device, std::runtime_error where CUDA refuses.
DeviceIdentity describe_device(int device);

// `seconds` for each figure, and some tenths of one before the first, in which the device's clocks rise.
// Throws as describe_device, and std::invalid_argument where `seconds` is no time.
DeviceCeilings measure_device_ceilings(int device, double seconds);

}  // namespace slmprof
