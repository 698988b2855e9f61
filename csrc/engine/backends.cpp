#include "engine/backends.h"

#include "engine/llama_log.h"
#include "engine/remote_devices.h"
#include "llama_api/parameters.h"
#include "memory/planned_devices.h"

#if SLMPROF_GGML_CUDA
#    include "cuda/driver.h"
#endif

#include "ggml-threading.h"
#include "llama.h"

#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <stdexcept>

namespace slmprof {

namespace {

std::vector<ggml_backend_dev_t> all_devices() {
    std::vector<ggml_backend_dev_t> devices;
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        devices.push_back(ggml_backend_dev_get(i));
    }
    return devices;
}

const char * type_name(ggml_backend_dev_t device) {
    switch (ggml_backend_dev_type(device)) {
        case GGML_BACKEND_DEVICE_TYPE_CPU:   return "cpu";
        case GGML_BACKEND_DEVICE_TYPE_GPU:   return "gpu";
        case GGML_BACKEND_DEVICE_TYPE_IGPU:  return "igpu";
        case GGML_BACKEND_DEVICE_TYPE_ACCEL: return "accel";
        default:                             return llama_api::is_meta(ggml_backend_dev_type(device)) ? "meta" : "unknown";
    }
}

// Throws std::invalid_argument where no CUDA device can be there, and says why.
void check_has_cuda() {
#if SLMPROF_GGML_CUDA
    ggml_backend_reg_t cuda = ggml_backend_reg_by_name("CUDA");
    if (cuda == nullptr || ggml_backend_reg_dev_count(cuda) == 0) {
        throw std::invalid_argument(explain_no_gpu());
    }
#else
    throw std::invalid_argument("this build has no CUDA; build it with -C cmake.define.GGML_CUDA=ON");
#endif
}

}  // namespace

void initialize_backends() {
    static std::once_flag once;
    std::call_once(once, [] {
        capture_llama_log();
        llama_backend_init();
        // ggml's own lock, for moments: free in a forked child.
        pthread_atfork(ggml_critical_section_start, ggml_critical_section_end, ggml_critical_section_end);
    });
}

std::vector<DeviceInfo> list_devices() {
    initialize_backends();
    std::vector<DeviceInfo> infos;
    for (ggml_backend_dev_t device : all_devices()) {
        size_t free_bytes = 0, total_bytes = 0;
        if (is_reachable(device)) {
            ggml_backend_dev_memory(device, &free_bytes, &total_bytes);
        }
        infos.push_back({ ggml_backend_dev_name(device), ggml_backend_dev_description(device), type_name(device), free_bytes,
                          total_bytes });
    }
    return infos;
}

std::vector<ggml_backend_dev_t> find_devices(const std::string & name) {
    const std::string prefix = k_remote_prefix;
    if (name.compare(0, prefix.size(), prefix) == 0) {
        return connect_remote(name.substr(prefix.size()));
    }
    if (is_planned(name)) {
        return { planned_device(name) };
    }
    if (name.compare(0, 4, "CUDA") == 0) {
        check_has_cuda();
    }
    return { find_named("device", name, all_devices(), ggml_backend_dev_name) };
}

std::vector<ggml_backend_buffer_type_t> extra_buffer_types(ggml_backend_dev_t device) {
    std::vector<ggml_backend_buffer_type_t> types;
    auto * get_extra = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
        ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), "ggml_backend_dev_get_extra_bufts"));
    if (get_extra != nullptr) {
        for (ggml_backend_buffer_type_t * extra = get_extra(device); extra != nullptr && *extra != nullptr; extra++) {
            types.push_back(*extra);
        }
    }
    return types;
}

ggml_backend_buffer_type_t find_buffer_type(const std::string & name, const std::vector<ggml_backend_dev_t> & devices) {
    std::vector<ggml_backend_buffer_type_t> types;
    for (ggml_backend_dev_t device : devices) {
        types.push_back(ggml_backend_dev_buffer_type(device));
    }
    for (ggml_backend_dev_t device : all_devices()) {
        if (std::find(devices.begin(), devices.end(), device) != devices.end()) {
            continue;
        }
        if (ggml_backend_buffer_type_t type = ggml_backend_dev_buffer_type(device)) {
            types.push_back(type);
        }
        const std::vector<ggml_backend_buffer_type_t> extra = extra_buffer_types(device);
        types.insert(types.end(), extra.begin(), extra.end());
    }
    return find_named("buffer type", name, types, ggml_backend_buft_name);
}

std::string system_info() {
    initialize_backends();
    return llama_print_system_info();
}

}  // namespace slmprof
