#include "engine/backends.h"
#include "ggml.h"
#include "bindings/registers.h"

namespace py = pybind11;

void register_build(py::module_ & module) {
    module.def(
        "build_info",
        [] {
            py::dict info;
            info["llama_cpp_version"] = SLMPROF_LLAMA_CPP_VERSION;
            info["llama_cpp_source"]  = SLMPROF_LLAMA_CPP_ORIGIN;
            info["ggml_version"]      = ggml_version();
            info["build_type"]        = SLMPROF_BUILD_TYPE;
            info["compiler"]          = SLMPROF_COMPILER;
            info["native"]            = static_cast<bool>(SLMPROF_GGML_NATIVE);
            info["openmp"]            = static_cast<bool>(SLMPROF_GGML_OPENMP);
            info["llamafile"]         = static_cast<bool>(SLMPROF_GGML_LLAMAFILE);
            info["repack"]            = static_cast<bool>(SLMPROF_GGML_REPACK);
            return info;
        },
        "Which llama.cpp this is and the build flags that change its speed.");
    module.def(
        "cpu_features",
        &slmprof::system_info,
        "What ggml's CPU code was compiled for, in llama.cpp's own words.");
    module.def(
        "devices",
        [] {
            py::list devices;
            for (const slmprof::DeviceInfo & device : slmprof::list_devices()) {
                py::dict d;
                d["name"]               = device.name;
                d["description"]        = device.description;
                d["type"]               = device.type;
                d["memory_free_bytes"]  = device.memory_free_bytes;
                d["memory_total_bytes"] = device.memory_total_bytes;
                devices.append(d);
            }
            return devices;
        },
        "The devices of this build's ggml.");
}
