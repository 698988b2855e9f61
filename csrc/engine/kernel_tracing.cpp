#include "engine/kernel_tracing.h"

#include "engine/backends.h"
#include "engine/settings.h"
#include "record/device_lanes.h"

#if SLMPROF_GGML_CUDA
#    include "cuda/driver.h"
#    include "engine/cuda_tracer.h"
#    include "failures.h"
#endif

#include <algorithm>

namespace slmprof {
namespace {

bool uses_cuda(const EngineSettings & settings) {
    return std::any_of(settings.devices.begin(), settings.devices.end(), [](const std::string & name) {
        const std::vector<ggml_backend_dev_t> devices = find_devices(name);
        return std::any_of(devices.begin(), devices.end(), [](ggml_backend_dev_t device) { return is_of_backend(device, "CUDA"); });
    });
}

#if SLMPROF_GGML_CUDA
// The functions of the library that the process has loaded; one for its whole life, since CUPTI is.
const CuptiApi & cupti(const std::vector<std::string> & folders) {
    static const CuptiApi api = [&] {
        // That of the build's CUDA first: another one may need another driver.
        const std::vector<int> majors = CUPTI_API_VERSION >= 130000 ? std::vector<int>{ 13, 12 } : std::vector<int>{ 12, 13 };
        return load_cupti(CuptiLibrary(folders, majors), cuda_driver_version());
    }();
    return api;
}
#endif

}  // namespace

KernelTracing trace_kernels(const EngineSettings & settings, [[maybe_unused]] StringTable & strings) {
    KernelTracing made;
    if (!uses_cuda(settings)) {
        return made;
    }
#if SLMPROF_GGML_CUDA
    try {
        made.tracer = std::make_unique<CudaTracer>(cupti(settings.cupti_folders), strings);
    } catch (const CuptiFailure & failure) {
        made.problem = failure.what();
    }
#endif
    return made;
}

}  // namespace slmprof
