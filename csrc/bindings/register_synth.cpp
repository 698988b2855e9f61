// Synthesis: random weights, written by C++ with the GIL released.

#include "bindings/registers.h"

#include "quant/tensor_choice.h"
#include "gguf/synth.h"
#include "bindings/gguf_values.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace py = pybind11;

namespace {

using slmprof::NamedShape;
using NamedType   = std::pair<std::string, std::string>;
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
    if (name == "decay") {
        return slmprof::TensorFill::decay;
    }
    throw std::invalid_argument("unknown fill '" + name + "': weight, norm, bias or decay");
}

void write_random_gguf(const std::string & path, const std::vector<slmprof::NamedValue> & metadata,
                       const std::vector<NamedTensor> & tensors, uint64_t seed, int n_threads) {
    const slmprof::Metadata            values = slmprof::metadata_values(metadata);
    std::vector<slmprof::RandomTensor> specs;
    specs.reserve(tensors.size());
    for (const auto & [name, shape, type, fill] : tensors) {
        specs.push_back({ { name, shape, slmprof::tensor_type_from_name(type) }, fill_from_name(fill) });
    }
    slmprof::write_unlocked(path, [&] {
        slmprof::write_random_gguf(path, values, specs, seed, n_threads, slmprof::check_signals);
    });
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

    module.def("synth_file_type_number",
               [](const std::string & file_type, bool has_imatrix) { return slmprof::file_type_number(file_type, has_imatrix); },
               py::arg("file_type"), py::kw_only(), py::arg("has_imatrix") = false,
               "The number of a file type, aliases included. Raises ValueError.");

    module.def("choose_tensor_types",
               [](const std::string & architecture, const std::string & file_type,
                  const std::vector<NamedShape> & tensors, uint32_t n_embd, uint32_t n_ff, uint32_t n_layer,
                  uint32_t n_head, uint32_t n_head_kv, uint32_t n_expert, uint32_t head_dim,
                  const std::vector<NamedType> & patterns) {
                   const slmprof::QuantizerHints hints = { architecture, n_embd,   n_ff,     n_layer, n_head,
                                                           n_head_kv,    n_expert, head_dim, head_dim };
                   std::vector<slmprof::TensorSpec> specs;
                   specs.reserve(tensors.size());
                   for (const auto & [name, shape] : tensors) {
                       specs.push_back({ name, shape, GGML_TYPE_F32 });
                   }
                   slmprof::Recipe recipe;
                   recipe.file_type = file_type;
                   for (const auto & [pattern, type] : patterns) {
                       recipe.patterns.push_back({ pattern, slmprof::tensor_type_from_name(type) });
                   }
                   std::vector<std::string> names;
                   names.reserve(specs.size());
                   for (const slmprof::TensorChoice & choice : slmprof::choose_tensor_types(hints, recipe, specs)) {
                       names.emplace_back(ggml_type_name(choice.type));
                   }
                   return names;
               },
               py::arg("architecture"), py::arg("file_type"), py::arg("tensors"), py::kw_only(), py::arg("n_embd"),
               py::arg("n_ff"), py::arg("n_layer"), py::arg("n_head"), py::arg("n_head_kv"), py::arg("n_expert"),
               py::arg("head_dim"), py::arg("patterns") = std::vector<NamedType>(),
               "The ggml type of each (name, shape) that llama-quantize would choose, (pattern, type) pairs first. "
               "Raises ValueError.");

    module.def("weight_types", [] {
        py::list found;
        for (const slmprof::WeightType & type : slmprof::weight_types()) {
            found.append(py::make_tuple(type.name, type.block_size, type.type_size, type.is_quantized));
        }
        return found;
    }, "Name, weights and bytes of a block, and whether it is quantized, of each type that a file can hold weights in.");

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
