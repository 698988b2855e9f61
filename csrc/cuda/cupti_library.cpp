#include "cuda/cupti_library.h"

#include <dlfcn.h>

#include <filesystem>
#include <iterator>

namespace slmprof {
namespace {

std::string file_name(int major) { return "libcupti.so." + std::to_string(major); }

std::string dotted(int cuda) { return std::to_string(cuda / 100) + "." + std::to_string(cuda % 100); }

}  // namespace

CuptiLibrary::CuptiLibrary(const std::vector<std::string> & candidates, const std::vector<int> & majors) {
    for (const int major : majors) {
        if (open(file_name(major), RTLD_NOW | RTLD_NOLOAD)) {
            return;
        }
    }
    tried_.clear();  // that none was there yet is no failure
    for (const std::string & candidate : candidates) {
        std::error_code ignored;
        if (!std::filesystem::is_directory(candidate, ignored)) {
            if (open(candidate, RTLD_NOW)) {
                return;
            }
            continue;
        }
        for (const int major : majors) {
            const std::string file = (std::filesystem::path(candidate) / file_name(major)).string();
            if (std::filesystem::exists(file, ignored) && open(file, RTLD_NOW)) {
                return;
            }
        }
    }
    for (const int major : majors) {
        if (open(file_name(major), RTLD_NOW)) {
            return;
        }
    }
    std::string message = "CUPTI is not there, so kernels on the GPU cannot be observed; the package nvidia-cuda-cupti "
                          "(nvidia-cuda-cupti-cu12 for CUDA 12) has it";
    for (const std::string & tried : tried_) {
        message += "\n  " + tried;
    }
    throw CuptiFailure(message);
}

bool CuptiLibrary::open(const std::string & path, int flags) {
    handle_ = dlopen(path.c_str(), flags | RTLD_LOCAL);
    if (handle_ != nullptr) {
        path_ = path;
        return true;
    }
    const char * reason = dlerror();
    tried_.push_back(reason != nullptr ? reason : path);
    return false;
}

void * CuptiLibrary::symbol(const char * name) const {
    void * const found = dlsym(handle_, name);
    if (found == nullptr) {
        throw CuptiFailure(path_ + " has no " + name + ": it is too old, or is not CUPTI");
    }
    return found;
}

std::string explain_cupti_result(int result, const std::string & said) {
    // The numbers are part of CUPTI's interface.
    switch (result) {
        case 8: return "out of memory for CUPTI's own buffers";
        case 15:
            return "CUPTI found no driver that it can use: no NVIDIA driver is loaded, or it is older than this CUPTI";
        case 23:
        case 39:
            return "another profiler holds CUPTI in this process (Nsight, torch.profiler, a library that NVTX loads); "
                   "run without it";
        case 27: return "CUPTI does not support this device or system";
        case 33:
        case 40: return "the hypervisor does not let this virtual GPU be profiled";
        case 35:
            return "profiling is not permitted to this user; the driver's option NVreg_RestrictProfilingToAdminUsers=0 "
                   "permits it";
        case 41: return "the GPU is in confidential computing mode, which cannot be profiled";
        case 43: return "CUPTI does not support this partition (MIG) of the GPU";
        case 45: return "CUPTI does not support this GPU in the Windows Subsystem for Linux";
        case 999: return "CUPTI could not start, which is all that it says where there is no NVIDIA driver";
        default:
            return "CUPTI says: " + (said.empty() ? "result" : said) + " (" + std::to_string(result) + ")";
    }
}

int cuda_version_of_driver(int driver_version) {
    return driver_version > 0 ? driver_version / 1000 * 100 + driver_version % 1000 / 10 : 0;
}

int cuda_version_of_cupti(uint32_t cupti_version) {
    if (cupti_version >= 10000) {  // from 13.0 on xxyyzz
        return static_cast<int>(cupti_version / 10000 * 100 + cupti_version / 100 % 100);
    }
    // Before, versions were counted; these are CUDA 12's, from 19 on.
    constexpr int k_counted[] = { 1200, 1202, 1203, 1204, 1205, 1206, 1206, 1208, 1209, 1209 };
    constexpr int k_first     = 19;
    const auto    index       = static_cast<int>(cupti_version) - k_first;
    return index >= 0 && index < static_cast<int>(std::size(k_counted)) ? k_counted[index] : 0;
}

std::string explain_driver(int driver_cuda, int needed_cuda, const std::string & what) {
    if (driver_cuda == 0 || needed_cuda == 0 || driver_cuda / 100 >= needed_cuda / 100) {
        return "";
    }
    return "the NVIDIA driver is for CUDA " + dotted(driver_cuda) + ", " + what + " is of CUDA " + dotted(needed_cuda) +
           ": update the driver, or build and run with CUDA " + std::to_string(driver_cuda / 100);
}

}  // namespace slmprof
