// How fast a device reads and copies what lies in its memory, and in its last cache.

#include "machine/cuda/measurements.h"
#include "machine/cuda/repetitions.h"

#include <algorithm>
#include <cstring>

namespace slmprof::cuda {
namespace {

constexpr int      k_threads          = 256;
constexpr int      k_in_flight        = 4;  // loads of a thread at a time: so many hide how long one takes
constexpr uint64_t k_granule_bytes    = uint64_t(k_threads) * k_in_flight * sizeof(uint4);
constexpr uint64_t k_least_memory     = uint64_t(256) << 20;
constexpr uint64_t k_most_memory      = uint64_t(1) << 30;
constexpr int      k_times_last_cache = 8;  // as on the CPU, docs/roofline.md
constexpr uint64_t k_transfer_bytes   = uint64_t(64) << 20;

// Each block goes over granules of its own; within one, neighbouring threads read what lies together. Loads and
// stores go past the cache of a multiprocessor: all of these together may hold what lies in L2.
__global__ void __launch_bounds__(k_threads) read_loop(const uint4 * data, size_t n_granules, int64_t n_passes, unsigned * sink) {
    unsigned sum = 0;
    for (int64_t pass = 0; pass < n_passes; pass++) {
        for (size_t granule = blockIdx.x; granule < n_granules; granule += gridDim.x) {
            const uint4 * from = data + granule * k_threads * k_in_flight + threadIdx.x;
            uint4         values[k_in_flight];
#pragma unroll
            for (int i = 0; i < k_in_flight; i++) {
                values[i] = __ldcg(from + i * k_threads);
            }
#pragma unroll
            for (int i = 0; i < k_in_flight; i++) {
                sum += values[i].x ^ values[i].y ^ values[i].z ^ values[i].w;
            }
        }
        // Another pass is another number: no two can be folded into one.
        sum = sum * 3 + static_cast<unsigned>(pass);
    }
    if (sum == 0x9e3779b9u) {  // what is written can not be left out; that it is hardly ever, nobody knows
        *sink = sum;
    }
}

__global__ void __launch_bounds__(k_threads) copy_loop(const uint4 * data, uint4 * target, size_t n_granules, int64_t n_passes) {
    for (int64_t pass = 0; pass < n_passes; pass++) {
        for (size_t granule = blockIdx.x; granule < n_granules; granule += gridDim.x) {
            const size_t  place = granule * k_threads * k_in_flight + threadIdx.x;
            uint4         values[k_in_flight];
#pragma unroll
            for (int i = 0; i < k_in_flight; i++) {
                values[i] = __ldcg(data + place + i * k_threads);
            }
#pragma unroll
            for (int i = 0; i < k_in_flight; i++) {
                values[i].x ^= static_cast<unsigned>(pass);
                __stcg(target + place + i * k_threads, values[i]);
            }
        }
    }
}

// So many blocks as run at a time, each with as many granules as any other: else some would wait for the last.
struct Layout {
    unsigned n_blocks   = 1;
    size_t   n_granules = 1;

    template <typename Kernel> Layout(Kernel kernel, const DeviceIdentity & device, size_t n_available) {
        int per_multiprocessor = 0;
        check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_multiprocessor, kernel, k_threads, 0), "place a kernel");
        const auto n_resident = static_cast<size_t>(std::max(per_multiprocessor, 1)) * static_cast<size_t>(device.n_multiprocessors);
        n_blocks   = static_cast<unsigned>(std::min(n_resident, n_available));
        n_granules = n_available / n_blocks * n_blocks;
    }
};

void measure_level(std::vector<DeviceBandwidthRecord> & records, const char * level, uint64_t working_set_bytes,
                   cudaStream_t stream, const DeviceIdentity & device, double seconds) {
    const size_t       n_granules = std::max<size_t>(working_set_bytes / k_granule_bytes, 2);
    const DeviceMemory memory(n_granules * k_granule_bytes), sink(sizeof(unsigned));
    check(cudaMemsetAsync(memory.as<void>(), 0x55, n_granules * k_granule_bytes, stream), "fill memory");
    auto * const data   = memory.as<uint4>();
    const auto   record = [&](const char * operation, size_t n_touched, const Repetitions & repetitions) {
        const uint64_t size_bytes = n_touched * k_granule_bytes;
        records.push_back({ level, operation, size_bytes, double(size_bytes) / repetitions.quartile_ns() });
    };
    const Layout read(read_loop, device, n_granules);
    record("read", read.n_granules, repeat(stream, seconds, [&](cudaStream_t on, int64_t n_passes) {
               read_loop<<<read.n_blocks, k_threads, 0, on>>>(data, read.n_granules, n_passes, sink.as<unsigned>());
           }));
    // Both arrays of a copy share the working set, and both count, as on the CPU.
    const Layout  copy(copy_loop, device, n_granules / 2);
    uint4 * const target = data + n_granules / 2 * k_threads * k_in_flight;
    record("copy", 2 * copy.n_granules, repeat(stream, seconds, [&](cudaStream_t on, int64_t n_passes) {
               copy_loop<<<copy.n_blocks, k_threads, 0, on>>>(data, target, copy.n_granules, n_passes);
           }));
}

}  // namespace

std::vector<DeviceBandwidthRecord> measure_bandwidth(cudaStream_t stream, const DeviceIdentity & device, double seconds) {
    std::vector<DeviceBandwidthRecord> records;
    if (device.l2_bytes > 0) {
        measure_level(records, "L2", device.l2_bytes / 2, stream, device, seconds);
    }
    size_t free_bytes = 0, total_bytes = 0;
    check(cudaMemGetInfo(&free_bytes, &total_bytes), "tell how much memory is free");
    const uint64_t wanted = std::clamp(k_times_last_cache * device.l2_bytes, k_least_memory, k_most_memory);
    measure_level(records, "memory", std::min<uint64_t>(wanted, free_bytes / 4), stream, device, seconds);
    return records;
}

std::vector<DeviceTransferRecord> measure_transfers(cudaStream_t stream, double seconds) {
    const DeviceMemory there(k_transfer_bytes);
    const PinnedMemory here(k_transfer_bytes);
    std::memset(here.get(), 0x55, k_transfer_bytes);
    std::vector<DeviceTransferRecord> records;
    for (const bool is_to_device : { true, false }) {
        const Repetitions repetitions = repeat(stream, seconds, [&](cudaStream_t on, int64_t n_times) {
            void * const target = is_to_device ? there.as<void>() : here.get();
            const void * source = is_to_device ? here.get() : there.as<void>();
            for (int64_t i = 0; i < n_times; i++) {
                check(cudaMemcpyAsync(target, source, k_transfer_bytes, cudaMemcpyDefault, on), "copy memory");
            }
        });
        records.push_back({ is_to_device ? "to_device" : "to_host", k_transfer_bytes,
                            double(k_transfer_bytes) / repetitions.median_ns() });
    }
    return records;
}

}  // namespace slmprof::cuda
