// Outlines: GGUF files of header and tensor table, without data.

#include "bindings/registers.h"

#include "quant/retype.h"
#include "gguf/header.h"
#include "bindings/gguf_values.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <tuple>
#include <vector>

namespace py = pybind11;

namespace {

using TypedTensor = std::tuple<std::string, std::vector<int64_t>, std::string>;

std::vector<slmprof::TensorSpec> to_specs(const std::vector<TypedTensor> & tensors) {
    std::vector<slmprof::TensorSpec> specs;
    specs.reserve(tensors.size());
    for (const auto & [name, shape, type] : tensors) {
        specs.push_back({ name, shape, slmprof::tensor_type_from_name(type) });
    }
    return specs;
}

py::tuple gguf_header(const std::vector<slmprof::NamedValue> & metadata, const std::vector<TypedTensor> & tensors) {
    const slmprof::GgufHeader header(slmprof::metadata_values(metadata), to_specs(tensors));
    return py::make_tuple(py::bytes(reinterpret_cast<const char *>(header.bytes.data()), header.bytes.size()),
                          header.file_bytes);
}

void write_outline(const std::string & path, const std::vector<slmprof::NamedValue> & metadata,
                   const std::vector<TypedTensor> & tensors) {
    const slmprof::Metadata                values = slmprof::metadata_values(metadata);
    const std::vector<slmprof::TensorSpec> specs  = to_specs(tensors);
    slmprof::write_unlocked(path, [&] { slmprof::write_outline(path, slmprof::GgufHeader(values, specs)); });
}

void retype_outline(const std::string & source, const std::string & target, const std::string & file_type) {
    slmprof::write_unlocked(target, [&] { slmprof::retype_outline(source, target, file_type); });
}

} // namespace

void register_outline(py::module_ & module) {
    module.def("gguf_header", &gguf_header, py::arg("metadata"), py::arg("tensors"),
               "What a GGUF of (name, shape, type) tensors begins with, and the bytes of the whole file. Raises "
               "ValueError.");

    module.def("write_outline", &write_outline, py::arg("path"), py::arg("metadata"), py::arg("tensors"),
               "Writes a GGUF of (name, shape, type) tensors with a hole instead of their data, whole or not at "
               "all. Raises OSError and ValueError.");

    module.def("retype_outline", &retype_outline, py::arg("source"), py::arg("target"), py::arg("file_type"),
               "Writes the outline of what llama-quantize would make of a GGUF file. Raises OSError, ValueError and "
               "NativeModelError.");
}
