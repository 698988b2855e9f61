// ggml-cuda calls a few functions of the driver by name. Linked to libcuda, the module could not be loaded on
// a machine without a driver; so these stand in for them, and look the driver's own up. Only where the
// runtime has found a device is any of them called.

#include "cuda/driver.h"

#include "cuda/cupti_library.h"

#include <cuda.h>
#include <dlfcn.h>

namespace {

void * look_up(const char * name) {
    // Never closed: the driver's threads go on.
    static void * const driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    return driver != nullptr ? dlsym(driver, name) : nullptr;
}

template <typename Function> Function * look_up(Function *, const char * name) {
    return reinterpret_cast<Function *>(look_up(name));
}

}  // namespace

#define SLMPROF_FORWARD(name, parameters, arguments)                          \
    CUresult CUDAAPI name parameters {                                        \
        static auto * const function = look_up(&name, #name);                 \
        return function != nullptr ? function arguments : CUDA_ERROR_NOT_FOUND; \
    }

extern "C" {

SLMPROF_FORWARD(cuDeviceGet, (CUdevice * device, int ordinal), (device, ordinal))
SLMPROF_FORWARD(cuDeviceGetAttribute, (int * value, CUdevice_attribute attribute, CUdevice device), (value, attribute, device))
SLMPROF_FORWARD(cuGetErrorString, (CUresult error, const char ** text), (error, text))
SLMPROF_FORWARD(cuMemAddressFree, (CUdeviceptr address, size_t size), (address, size))
SLMPROF_FORWARD(cuMemAddressReserve,
                (CUdeviceptr * address, size_t size, size_t alignment, CUdeviceptr wanted, unsigned long long flags),
                (address, size, alignment, wanted, flags))
SLMPROF_FORWARD(cuMemCreate,
                (CUmemGenericAllocationHandle * handle, size_t size, const CUmemAllocationProp * properties,
                 unsigned long long flags),
                (handle, size, properties, flags))
SLMPROF_FORWARD(cuMemGetAllocationGranularity,
                (size_t * granularity, const CUmemAllocationProp * properties, CUmemAllocationGranularity_flags which),
                (granularity, properties, which))
SLMPROF_FORWARD(cuMemMap,
                (CUdeviceptr address, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                 unsigned long long flags),
                (address, size, offset, handle, flags))
SLMPROF_FORWARD(cuMemRelease, (CUmemGenericAllocationHandle handle), (handle))
SLMPROF_FORWARD(cuMemSetAccess,
                (CUdeviceptr address, size_t size, const CUmemAccessDesc * access, size_t n_access),
                (address, size, access, n_access))
SLMPROF_FORWARD(cuMemUnmap, (CUdeviceptr address, size_t size), (address, size))

}  // extern "C"

int slmprof::cuda_driver_version() {
    static auto * const function = reinterpret_cast<decltype(&cuDriverGetVersion)>(look_up("cuDriverGetVersion"));
    int                 version  = 0;
    return function != nullptr && function(&version) == CUDA_SUCCESS ? version : 0;
}

std::string slmprof::explain_no_gpu() {
    const int driver = cuda_driver_version();
    if (driver == 0) {
        return "CUDA finds no GPU: no NVIDIA driver is loaded (libcuda.so.1)";
    }
    const std::string older = explain_driver(cuda_version_of_driver(driver), cuda_version_of_driver(CUDA_VERSION), "this build");
    return "CUDA finds no GPU: " + (older.empty() ? "is it hidden by CUDA_VISIBLE_DEVICES?" : older);
}
