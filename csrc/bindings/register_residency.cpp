#include "bindings/dicts.h"
#include "bindings/registers.h"

#include <pybind11/stl.h>

#include <cstdint>
#include <string>

namespace py = pybind11;

void register_residency(py::module_ & module) {
    using namespace slmprof;
    module.def("process_memory",
               [](const std::string & process) { return to_dict(observe_process({}, process)); },
               py::arg("process") = k_own_process);
    module.def("resident_bytes",
               [](uintptr_t address, uint64_t size_bytes, const std::string & process) {
                   return PageMap(process).resident_bytes({ address, size_bytes });
               },
               py::arg("address"), py::arg("size_bytes"), py::arg("process") = k_own_process);
}
