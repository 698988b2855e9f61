// Ceilings: each figure by a call of its own, so that Python can say how far the measurement is.

#include "bindings/registers.h"
#include "bindings/unlocked.h"

#include "machine/ceilings.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

namespace py = pybind11;

void register_ceilings(py::module_ & module) {
    module.def(
        "measure_bandwidth",
        [](uint64_t working_set_bytes, int n_threads, double seconds, const slmprof::Cores & cores) {
            py::dict result;
            for (const auto & record : slmprof::unlocked(
                     [&] { return slmprof::measure_bandwidth(working_set_bytes, n_threads, cores, seconds); })) {
                result[py::str(record.operation)] = record.gbps;
            }
            return result;
        },
        py::arg("working_set_bytes"), py::kw_only(), py::arg("n_threads"), py::arg("seconds"),
        py::arg("cores") = slmprof::Cores{},
        "10^9 bytes per second of read, copy and triad, `seconds` each. Raises ValueError and MemoryError.");

    module.def(
        "measure_instructions",
        [](int n_threads, double seconds, const slmprof::Cores & cores) {
            py::list result;
            for (const auto & record :
                 slmprof::unlocked([&] { return slmprof::measure_instructions(n_threads, cores, seconds); })) {
                result.append(py::make_tuple(record.name, record.isa, record.type, record.gflops));
            }
            return result;
        },
        py::kw_only(), py::arg("n_threads"), py::arg("seconds"), py::arg("cores") = slmprof::Cores{},
        "(name, isa, type of the factors, 10^9 operations per second or None where the processor lacks it) of each "
        "microkernel, `seconds` each. Raises ValueError.");

    module.def("arithmetic_types", &slmprof::arithmetic_types,
               "ggml's names of the types that matrices can have in a product.");

    module.def(
        "measure_arithmetic",
        [](const std::string & type, const std::vector<int> & n_columns, int n_threads,
           uint64_t matrix_bytes_per_thread, double seconds, const slmprof::Cores & cores) {
            py::list result;
            for (const auto & record : slmprof::unlocked([&] {
                     return slmprof::measure_arithmetic(type, n_columns, n_threads, cores, matrix_bytes_per_thread, seconds);
                 })) {
                result.append(py::make_tuple(record.n_columns, record.impl, record.gflops));
            }
            return result;
        },
        py::arg("type"), py::arg("n_columns"), py::kw_only(), py::arg("n_threads"),
        py::arg("matrix_bytes_per_thread"), py::arg("seconds"), py::arg("cores") = slmprof::Cores{},
        "(n_columns, impl, 10^9 operations per second) of each implementation, `seconds` each. Raises ValueError "
        "and RuntimeError.");

    module.def(
        "measure_op_ns",
        [](int n_threads, double seconds, const slmprof::Cores & cores) {
            const slmprof::Unlocked release;
            return slmprof::measure_op_ns(n_threads, cores, seconds);
        },
        py::kw_only(), py::arg("n_threads"), py::arg("seconds"), py::arg("cores") = slmprof::Cores{},
        "Nanoseconds that an op with nothing to do costs. Raises ValueError and RuntimeError.");
}
