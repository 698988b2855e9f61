// Synthesis: random weights, written by C++ with the GIL released.

#include "registers.h"

#include "../synth.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <limits>
#include <stdexcept>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

namespace py = pybind11;

namespace {

using NamedShape  = std::pair<std::string, std::vector<int64_t>>;
using NamedTensor = std::tuple<std::string, std::vector<int64_t>, std::string, std::string>;

slmprof::TensorFill fill_from_name(const std::string & name) {
    if (name == "weight") {
        return slmprof::TensorFill::weight;
    }
    if (name == "norm") {
        return slmprof::TensorFill::norm;
    }
    if (name == "bias") {
        return slmprof::TensorFill::bias;
    }
    throw std::invalid_argument("unknown fill '" + name + "': weight, norm or bias");
}

// Python's own types decide: bool, int (uint32 where it fits, else uint64), float, str, and
// sequences of int, of float or of str. bool is tested first because it is an int to Python.
slmprof::MetadataValue metadata_value(const py::handle & value) {
    if (py::isinstance<py::bool_>(value)) {
        return value.cast<bool>();
    }
    if (py::isinstance<py::int_>(value)) {
        const auto number = value.cast<uint64_t>();
        if (number <= std::numeric_limits<uint32_t>::max()) {
            return uint32_t(number);
        }
        return number;
    }
    if (py::isinstance<py::float_>(value)) {
        return value.cast<float>();
    }
    if (py::isinstance<py::str>(value)) {
        return value.cast<std::string>();
    }
    const auto items = value.cast<py::sequence>();
    if (items.size() > 0 && py::isinstance<py::float_>(items[0])) {
        return value.cast<std::vector<float>>();
    }
    if (items.size() > 0 && py::isinstance<py::str>(items[0])) {
        return value.cast<std::vector<std::string>>();
    }
    return value.cast<std::vector<int32_t>>();
}

// An OSError with its number, so that Python picks PermissionError, IsADirectoryError and so on.
[[noreturn]] void raise_os_error(const std::system_error & error, const std::string & path) {
    const py::object arguments = py::make_tuple(error.code().value(), error.code().message(), path);
    PyErr_SetObject(PyExc_OSError, arguments.ptr());
    throw py::error_already_set();
}

void write_random_gguf(const std::string & path, const std::vector<std::pair<std::string, py::object>> & metadata,
                       const std::vector<NamedTensor> & tensors, uint64_t seed, int n_threads) {
    slmprof::Metadata values;
    for (const auto & [key, value] : metadata) {
        values.emplace_back(key, metadata_value(value));
    }
    std::vector<slmprof::TensorSpec> specs;
    specs.reserve(tensors.size());
    for (const auto & [name, shape, type, fill] : tensors) {
        specs.push_back({ name, shape, slmprof::tensor_type_from_name(type), fill_from_name(fill) });
    }
    const auto poll = [] {
        const py::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() != 0) {
            throw py::error_already_set(); // Ctrl-C: the half-written file goes away on the way out
        }
    };
    try {
        const py::gil_scoped_release no_gil;
        slmprof::write_random_gguf(path, values, specs, seed, n_threads, poll);
    } catch (const std::system_error & error) {
        raise_os_error(error, path);
    }
}

} // namespace

void register_synth(py::module_ & module) {
    module.def("synth_file_types", [] {
        py::dict result;
        for (const auto & [name, number] : slmprof::synth_file_types()) {
            result[py::str(name)] = number;
        }
        return result;
    }, "File types that can be synthesised, each with its number in `general.file_type`.");

    module.def("synth_file_type_number", &slmprof::synth_file_type_number, py::arg("file_type"),
               "The number of a file type, aliases included. Raises ValueError.");

    module.def("choose_tensor_types",
               [](const std::string & architecture, const std::string & file_type,
                  const std::vector<NamedShape> & tensors, uint32_t n_embd, uint32_t n_ff, uint32_t n_layer,
                  uint32_t n_head, uint32_t n_head_kv, uint32_t n_expert, uint32_t head_dim) {
                   const slmprof::QuantizerHints hints = { architecture, n_embd,   n_ff,     n_layer, n_head,
                                                           n_head_kv,    n_expert, head_dim, head_dim };
                   std::vector<slmprof::TensorSpec> specs;
                   specs.reserve(tensors.size());
                   for (const auto & [name, shape] : tensors) {
                       specs.push_back({ name, shape, GGML_TYPE_F32, slmprof::TensorFill::weight });
                   }
                   std::vector<std::string> names;
                   names.reserve(specs.size());
                   for (const ggml_type type : slmprof::choose_tensor_types(hints, file_type, specs)) {
                       names.emplace_back(ggml_type_name(type));
                   }
                   return names;
               },
               py::arg("architecture"), py::arg("file_type"), py::arg("tensors"), py::kw_only(), py::arg("n_embd"),
               py::arg("n_ff"), py::arg("n_layer"), py::arg("n_head"), py::arg("n_head_kv"), py::arg("n_expert"),
               py::arg("head_dim"),
               "The ggml type of each (name, shape) that llama-quantize would choose. Raises ValueError.");

    module.def("tensor_size_bytes",
               [](const std::string & type, const std::vector<int64_t> & shape) {
                   return slmprof::tensor_size_bytes(slmprof::tensor_type_from_name(type), shape);
               },
               py::arg("type"), py::arg("shape"), "Bytes of a tensor of this type. Raises ValueError.");

    module.def("write_random_gguf", &write_random_gguf, py::arg("path"), py::arg("metadata"), py::arg("tensors"),
               py::kw_only(), py::arg("seed"), py::arg("n_threads") = 0,
               "Writes a GGUF of (name, shape, type, fill) tensors with random contents, whole or not at all. "
               "Raises OSError and ValueError.");
}
