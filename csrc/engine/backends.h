// ggml's backends and devices, and llama.cpp's set-up of them.

#pragma once

#include "ggml-backend.h"

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace slmprof {

// llama.cpp's backends, once for the process, and its messages caught.
void initialize_backends();

struct DeviceInfo {
    std::string name, description;
    std::string type;  // cpu, gpu, igpu, accel or meta
    uint64_t    memory_free_bytes = 0, memory_total_bytes = 0;  // 0 where the device does not tell
};

std::vector<DeviceInfo> list_devices();

// The devices of a name: the one that ggml calls so, all of the server at rpc:HOST:PORT, or one that is only planned
// (planned:CUDA0). Throws std::invalid_argument that lists those of this build.
std::vector<ggml_backend_dev_t> find_devices(const std::string & name);

// The buffer types that a device offers beside its own: they store matrices in an order of their own.
std::vector<ggml_backend_buffer_type_t> extra_buffer_types(ggml_backend_dev_t device);

// A buffer type that weights can lie in: of these devices, or else of any of the build's. Throws std::invalid_argument.
ggml_backend_buffer_type_t find_buffer_type(const std::string & name, const std::vector<ggml_backend_dev_t> & devices);

// What ggml's CPU code was compiled for, in llama.cpp's own words.
std::string system_info();

// The item of this name. Throws std::invalid_argument that says what there is instead.
template <typename Item, typename NameOf>
Item find_named(const char * kind, const std::string & name, const std::vector<Item> & items, const NameOf & name_of) {
    std::string known;
    for (const Item & item : items) {
        if (name == name_of(item)) {
            return item;
        }
        known += (known.empty() ? "" : ", ") + std::string(name_of(item));
    }
    throw std::invalid_argument(std::string("no ") + kind + " '" + name + "'; this build has " + known);
}

}  // namespace slmprof
