// Ceilings of CUDA devices. A build without CUDA has the functions, and they say so.

#include "bindings/registers.h"
#include "bindings/unlocked.h"

#include "machine/device_ceilings.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>

namespace py = pybind11;
using namespace py::literals;

#ifndef SLMPROF_HAS_CUDA
namespace slmprof {
namespace {

[[noreturn]] void refuse() { throw std::runtime_error("this build has no CUDA: build with GGML_CUDA=ON"); }

}  // namespace

DeviceIdentity describe_device(int) { refuse(); }

DeviceCeilings measure_device_ceilings(int, double) { refuse(); }

}  // namespace slmprof
#endif

namespace {

py::dict to_dict(const slmprof::DeviceIdentity & identity) {
    return py::dict("name"_a = identity.name, "compute_capability"_a = identity.compute_capability,
                    "n_multiprocessors"_a = identity.n_multiprocessors, "memory_bytes"_a = identity.memory_bytes,
                    "l2_bytes"_a = identity.l2_bytes, "nominal_gbps"_a = identity.nominal_gbps,
                    "cuda_driver"_a = identity.cuda_driver, "compiled_for"_a = identity.compiled_for);
}

}  // namespace

void register_device_ceilings(py::module_ & module) {
    module.def(
        "describe_device",
        [](int device_index) { return to_dict(slmprof::unlocked([&] { return slmprof::describe_device(device_index); })); },
        py::arg("device_index"),
        "What a CUDA device says of itself. Raises ValueError where there is none of this number, RuntimeError where CUDA "
        "refuses or the build has none.");

    module.def(
        "measure_device_ceilings",
        [](int device_index, double seconds) {
            const slmprof::DeviceCeilings ceilings =
                slmprof::unlocked([&] { return slmprof::measure_device_ceilings(device_index, seconds); });
            py::list bandwidth, peaks, transfers;
            for (const auto & record : ceilings.bandwidth) {
                bandwidth.append(py::make_tuple(record.level, record.operation, record.working_set_bytes, record.gbps));
            }
            for (const auto & record : ceilings.peaks) {
                peaks.append(py::make_tuple(record.name, record.unit, record.gflops));
            }
            for (const auto & record : ceilings.transfers) {
                transfers.append(py::make_tuple(record.direction, record.size_bytes, record.gbps));
            }
            return py::dict("identity"_a = to_dict(ceilings.identity), "bandwidth"_a = bandwidth, "peaks"_a = peaks,
                            "transfers"_a = transfers, "op_ns"_a = ceilings.op_ns);
        },
        py::arg("device_index"), py::kw_only(), py::arg("seconds"),
        "Bandwidth, peaks and what an empty kernel takes of a CUDA device, `seconds` for each figure. Raises as "
        "describe_device.");
}
