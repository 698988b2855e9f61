// How many operations a second a device does of each instruction that ggml's kernels are made of.

#include "machine/cuda/measurements.h"
#include "machine/cuda/repetitions.h"
#include "machine/cuda/steps.cuh"

#include <algorithm>

namespace slmprof::cuda {
namespace {

constexpr const char * k_core   = "core";
constexpr const char * k_tensor = "tensor";

constexpr int k_threads = 256;
constexpr int k_n_runs  = 8;  // of a step in a turn of its loop, beside which counting and jumping are little

// The code that runs says itself what it does: which one of those in this build that is, the driver decides.
template <typename Step> __global__ void tell_operations(int * operations) {
    *operations = k_n_runs * Step::k_operations;
}

template <typename Step> __global__ void __launch_bounds__(k_threads) run_steps(int64_t n_turns, uint32_t seed, unsigned * sink) {
    const Factors factors = factors_of<typename Step::Type>(seed);
    Step          step;
    for (int64_t turn = 0; turn < n_turns; turn++) {
#pragma unroll
        for (int i = 0; i < k_n_runs; i++) {
            step.run(factors);
        }
    }
    if (step.is_odd()) {  // what may be written has to be computed
        *sink = 1;
    }
}

template <typename Step> Repetitions run(cudaStream_t stream, const DeviceIdentity & device, int & n_blocks, double seconds) {
    const DeviceMemory sink(sizeof(unsigned));
    int                per_multiprocessor = 0;
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_multiprocessor, run_steps<Step>, k_threads, 0), "place a kernel");
    n_blocks = std::max(per_multiprocessor, 1) * device.n_multiprocessors;
    return repeat(stream, seconds, [&](cudaStream_t on, int64_t n_turns) {
        run_steps<Step><<<static_cast<unsigned>(n_blocks), k_threads, 0, on>>>(n_turns, 0, sink.as<unsigned>());
    });
}

template <typename Step>
DevicePeakRecord measure(const char * name, const char * unit, cudaStream_t stream, const DeviceIdentity & device, double seconds) {
    const DeviceMemory answer(sizeof(int));
    tell_operations<Step><<<1, 1, 0, stream>>>(answer.as<int>());
    check(cudaGetLastError(), "launch a kernel");
    int operations = 0;
    check(cudaMemcpyAsync(&operations, answer.as<int>(), sizeof(operations), cudaMemcpyDeviceToHost, stream), "copy memory");
    check(cudaStreamSynchronize(stream), "run a kernel");
    DevicePeakRecord record{ name, unit, {} };
    if (operations == 0) {
        return record;
    }
    int               n_blocks    = 0;
    const Repetitions repetitions = run<Step>(stream, device, n_blocks, seconds);
    record.gflops = double(operations) * (k_threads / k_warp_size) * n_blocks / repetitions.median_ns();
    return record;
}

constexpr double k_warmup_seconds = 0.5;

}  // namespace

void warm_up(cudaStream_t stream, const DeviceIdentity & device) {
    int n_blocks = 0;
    run<CoreStep<FmaF32>>(stream, device, n_blocks, k_warmup_seconds);
}

std::vector<DevicePeakRecord> measure_peaks(cudaStream_t stream, const DeviceIdentity & device, double seconds) {
    return {
        measure<CoreStep<FmaF32>>("fma.f32", k_core, stream, device, seconds),
        measure<CoreStep<FmaF16>>("fma.f16x2", k_core, stream, device, seconds),
        measure<CoreStep<Dp4a>>("dp4a.s8", k_core, stream, device, seconds),
        measure<TensorStep<MmaF16IntoF32>>("mma.f16.f32", k_tensor, stream, device, seconds),
        measure<TensorStep<MmaF16IntoF16>>("mma.f16.f16", k_tensor, stream, device, seconds),
        measure<TensorStep<MmaBf16IntoF32>>("mma.bf16.f32", k_tensor, stream, device, seconds),
        measure<TensorStep<MmaTf32IntoF32>>("mma.tf32.f32", k_tensor, stream, device, seconds),
        measure<TensorStep<MmaInt8IntoInt32>>("mma.s8.s32", k_tensor, stream, device, seconds),
    };
}

}  // namespace slmprof::cuda
