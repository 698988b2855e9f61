#include "bindings/observations.h"
#include "bindings/registers.h"

#include <pybind11/stl.h>

#include <cstdint>
#include <string>

namespace py = pybind11;

namespace slmprof {

namespace {

void add(py::dict & d, const ProcessMemory & memory) {
    d["rss_bytes"]       = memory.rss_bytes;
    d["pss_bytes"]       = memory.pss_bytes;
    d["anonymous_bytes"] = memory.anonymous_bytes;
    d["file_bytes"]      = memory.file_bytes;
    d["rss_peak_bytes"]  = memory.rss_peak_bytes;
    d["library_bytes"]   = memory.library_bytes;
    d["heap_bytes"]      = memory.heap_bytes;
    d["minor_faults"]    = memory.minor_faults;
    d["major_faults"]    = memory.major_faults;
}

}  // namespace

py::dict to_dict(const Observation & observation) {
    py::dict d;
    d["point"]  = observation.point;
    d["n_past"] = observation.n_past;
    add(d, observation.process);
    d["recorder_bytes"]          = observation.recorder_bytes;
    d["recorder_resident_bytes"] = observation.recorder_resident_bytes;
    py::list buffers;
    for (const BufferObservation & buffer : observation.buffers) {
        py::dict row;
        row["buffer"]                  = buffer.buffer;
        row["device"]                  = buffer.device;
        row["buffer_type"]             = buffer.buffer_type;
        row["kind"]                    = buffer.kind;
        row["size_bytes"]              = buffer.size_bytes;
        row["resident_bytes"]          = buffer.resident_bytes;
        row["original_bytes"]          = buffer.original_bytes;
        row["original_resident_bytes"] = buffer.original_resident_bytes;
        buffers.append(row);
    }
    d["buffers"] = buffers;
    return d;
}

}  // namespace slmprof

void register_residency(py::module_ & module) {
    using namespace slmprof;
    module.def("process_memory",
               [](const std::string & process) {
                   py::dict d;
                   add(d, observe_process({}, process));
                   return d;
               },
               py::arg("process") = k_own_process);
    module.def("resident_bytes",
               [](uintptr_t address, uint64_t size_bytes, const std::string & process) {
                   return PageMap(process).resident_bytes({ address, size_bytes });
               },
               py::arg("address"), py::arg("size_bytes"), py::arg("process") = k_own_process);
}
