#include "engine/backends.h"
#include "ggml.h"
#include "slmprof_features.h"
#include "machine/clock_reading.h"
#include "bindings/registers.h"
#include "bindings/texts.h"
#include "bindings/unlocked.h"

#include <pybind11/stl.h>

#include <string>
#include <vector>

namespace py = pybind11;
using namespace py::literals;

void register_build(py::module_ & module) {
    module.def(
        "build_info",
        [] {
            py::dict info(
                "llama_cpp_version"_a = SLMPROF_LLAMA_CPP_VERSION, "llama_cpp_source"_a = SLMPROF_LLAMA_CPP_ORIGIN,
                "ggml_version"_a = ggml_version(), "build_type"_a = SLMPROF_BUILD_TYPE, "compiler"_a = SLMPROF_COMPILER,
                "variant"_a = SLMPROF_CPU_VARIANT, "native"_a = bool(SLMPROF_GGML_NATIVE), "openmp"_a = bool(SLMPROF_GGML_OPENMP),
                "llamafile"_a = bool(SLMPROF_GGML_LLAMAFILE), "repack"_a = bool(SLMPROF_GGML_REPACK), "blas"_a = bool(SLMPROF_GGML_BLAS),
                "rpc"_a = bool(SLMPROF_GGML_RPC), "cuda"_a = bool(SLMPROF_GGML_CUDA),
                "features"_a = std::vector<std::string> SLMPROF_LLAMA_FEATURES);
            const std::string sanitizer = SLMPROF_SANITIZER;
            if (!sanitizer.empty()) {
                info["sanitizer"] = sanitizer;
            }
            return info;
        },
        "Which llama.cpp this is, which of its newer features the hooks found in it, and the build flags that change its speed.");
    module.def(
        "cpu_features",
        &slmprof::system_info,
        "What ggml's CPU code was compiled for, in llama.cpp's own words.");
    module.def(
        "devices",
        [] {
            py::list devices;
            for (const slmprof::DeviceInfo & device : slmprof::list_devices()) {
                devices.append(py::dict("name"_a = slmprof::text(device.name), "description"_a = slmprof::text(device.description), "type"_a = device.type,
                                        "memory_free_bytes"_a  = device.memory_free_bytes,
                                        "memory_total_bytes"_a = device.memory_total_bytes));
            }
            return devices;
        },
        "The devices of this build's ggml.");
    module.def(
        "measure_clock",
        [] {
            const slmprof::ClockReading clock = slmprof::unlocked(slmprof::measure_clock);
            return py::dict("source"_a = clock.source, "resolution_ns"_a = clock.resolution_ns, "read_ns"_a = clock.read_ns);
        },
        "The recorder's clock: which one, the step in which it counts, and what a reading costs.");
}
