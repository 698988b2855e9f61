// A device's ceilings, figure after figure, and what it says of itself.

#include "machine/best_run.h"
#include "machine/cuda/measurements.h"
#include "machine/cuda/repetitions.h"

#include <algorithm>
#include <stdexcept>

namespace slmprof {
namespace cuda {
namespace {

constexpr int64_t k_n_empty = 250;

__global__ void do_nothing() {}

struct Graph {
    cudaGraph_t     graph      = nullptr;
    cudaGraphExec_t executable = nullptr;

    Graph()                          = default;
    Graph(const Graph &)             = delete;
    Graph & operator=(const Graph &) = delete;
    ~Graph() {
        if (executable != nullptr) {
            cudaGraphExecDestroy(executable);
        }
        if (graph != nullptr) {
            cudaGraphDestroy(graph);
        }
    }
};

int attribute(cudaDeviceAttr of, int device) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, of, device), "tell of its devices");
    return value;
}

// What nvcc was asked for, as it lists it: 750,860.
#define SLMPROF_TEXT_OF(...)  #__VA_ARGS__
#define SLMPROF_TEXT(...)     SLMPROF_TEXT_OF(__VA_ARGS__)
#ifdef __CUDA_ARCH_LIST__
constexpr const char * k_compiled_for = SLMPROF_TEXT(__CUDA_ARCH_LIST__);
#else
constexpr const char * k_compiled_for = "";
#endif

}  // namespace

double measure_op_ns(cudaStream_t stream, double seconds) {
    Graph made;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture a graph");
    for (int64_t i = 0; i < k_n_empty; i++) {
        do_nothing<<<1, 1, 0, stream>>>();
    }
    check(cudaStreamEndCapture(stream, &made.graph), "capture a graph");
    check(cudaGraphInstantiate(&made.executable, made.graph, 0), "make a graph");
    const Repetitions repetitions = repeat(stream, seconds, [&](cudaStream_t on, int64_t n_times) {
        for (int64_t i = 0; i < n_times; i++) {
            check(cudaGraphLaunch(made.executable, on), "launch a graph");
        }
    });
    return repetitions.median_ns() / double(k_n_empty);
}

}  // namespace cuda

DeviceIdentity describe_device(int device) {
    int n_devices = 0;
    cuda::check(cudaGetDeviceCount(&n_devices), "find devices");
    if (device < 0 || device >= n_devices) {
        throw std::invalid_argument("there is no CUDA device " + std::to_string(device) + ": this machine has " +
                                    std::to_string(n_devices));
    }
    cudaDeviceProp properties{};
    cuda::check(cudaGetDeviceProperties(&properties, device), "tell of its devices");
    DeviceIdentity identity;
    identity.name               = properties.name;
    identity.compute_capability = 10 * properties.major + properties.minor;
    identity.n_multiprocessors  = properties.multiProcessorCount;
    identity.memory_bytes       = properties.totalGlobalMem;
    identity.l2_bytes           = static_cast<uint64_t>(std::max(properties.l2CacheSize, 0));
    // Data moves at both edges of the clock, which is told in kHz.
    const double clock_hz = 1e3 * cuda::attribute(cudaDevAttrMemoryClockRate, device);
    identity.nominal_gbps = 2 * clock_hz * cuda::attribute(cudaDevAttrGlobalMemoryBusWidth, device) / 8 / 1e9;
    cuda::check(cudaDriverGetVersion(&identity.cuda_driver), "tell its driver's version");
    identity.compiled_for = cuda::k_compiled_for;
    return identity;
}

DeviceCeilings measure_device_ceilings(int device, double seconds) {
    check_seconds(seconds);
    // On a thread of its own, so that the caller's goes on with its own current device.
    return apart([&] {
        DeviceCeilings ceilings;
        ceilings.identity = describe_device(device);
        cuda::check(cudaSetDevice(device), "use the device");
        const cuda::Stream stream;
        cuda::warm_up(stream, ceilings.identity);
        ceilings.bandwidth = cuda::measure_bandwidth(stream, ceilings.identity, seconds);
        ceilings.peaks     = cuda::measure_peaks(stream, ceilings.identity, seconds);
        ceilings.transfers = cuda::measure_transfers(stream, seconds);
        ceilings.op_ns     = cuda::measure_op_ns(stream, seconds);
        return ceilings;
    });
}

}  // namespace slmprof
