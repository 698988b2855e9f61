// Quantization by llama.cpp's own quantizer.

#include "bindings/registers.h"

#include "bindings/dicts.h"
#include "bindings/unlocked.h"
#include "gguf/header.h"
#include "quant/quantizer.h"
#include "quant/source_model.h"
#include "quant/tensor_choice.h"

#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace py = pybind11;
using namespace py::literals;

namespace {

using NamedType = std::pair<std::string, std::string>;
using Weights   = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Note      = std::pair<std::string, std::variant<int64_t, std::string>>;

std::optional<ggml_type> type_or_none(const std::optional<std::string> & name) {
    return name ? std::optional(slmprof::tensor_type_from_name(*name)) : std::nullopt;
}

slmprof::Recipe make_recipe(const std::string & file_type, const std::vector<NamedType> & tensor_types,
                            const std::optional<std::string> & output_type,
                            const std::optional<std::string> & embedding_type, bool keeps_output, bool is_pure,
                            bool has_imatrix) {
    slmprof::Recipe recipe;
    recipe.file_type      = file_type;
    recipe.output_type    = type_or_none(output_type);
    recipe.embedding_type = type_or_none(embedding_type);
    recipe.keeps_output   = keeps_output;
    recipe.is_pure        = is_pure;
    recipe.has_imatrix    = has_imatrix;
    recipe.is_strict      = false;
    for (const auto & [pattern, type] : tensor_types) {
        recipe.patterns.push_back({ pattern, slmprof::tensor_type_from_name(type) });
    }
    return recipe;
}

// What a tensor would take if this type's blocks divided its rows.
uint64_t bytes_as(ggml_type type, const std::vector<int64_t> & shape) {
    uint64_t n_elements = 1;
    for (const int64_t n : shape) {
        n_elements *= uint64_t(n);
    }
    return n_elements * ggml_type_size(type) / uint64_t(ggml_blck_size(type));
}

py::dict plan_quantization(const std::string & path, const slmprof::Recipe & recipe) {
    slmprof::ModelInfo                 info;
    std::vector<slmprof::TensorSpec>   tensors;
    std::vector<slmprof::TensorChoice> choices;
    slmprof::unlocked([&] {
        const slmprof::SourceModel source(path);
        info    = source.info();
        tensors = source.tensors();
        choices = slmprof::choose_tensor_types(source.model(), recipe, tensors);
    });
    const int number = slmprof::file_type_number(recipe.file_type, recipe.has_imatrix);
    py::list  rows;
    for (const size_t i : slmprof::loader_order(tensors)) {
        const auto & [name, shape, source]           = tensors[i];
        const auto & [type, asked, is_quantizable] = choices[i];
        rows.append(py::dict("tensor"_a = name, "shape"_a = shape, "source"_a = ggml_type_name(source),
                             "type"_a = ggml_type_name(type), "asked"_a = ggml_type_name(asked),
                             "is_quantizable"_a = is_quantizable,
                             "source_bytes"_a   = slmprof::tensor_size_bytes(source, shape),
                             "size_bytes"_a     = slmprof::tensor_size_bytes(type, shape),
                             "asked_bytes"_a    = bytes_as(asked, shape),
                             "needs_imatrix"_a  = slmprof::needs_imatrix(name, type, number)));
    }
    return py::dict("model"_a = slmprof::to_dict(info), "tensors"_a = rows);
}

void quantize_file(const std::string & source, const std::string & target, const slmprof::Recipe & recipe,
                   const std::vector<std::pair<std::string, Weights>> & importances, const std::vector<Note> & notes,
                   bool allow_requantize, int n_threads, const py::function & on_progress) {
    slmprof::QuantizeJob job{ source, target, recipe, {}, notes, allow_requantize, n_threads };
    for (const auto & [tensor, weights] : importances) {
        job.importances.push_back({ tensor, { weights.data(), weights.data() + weights.size() } });
    }
    slmprof::unlocked([&] {
        slmprof::quantize_file(job, [&](int number, int n_tensors) {
            const py::gil_scoped_acquire gil;
            on_progress(number, n_tensors);
        });
    });
}

} // namespace

void register_quant(py::module_ & module) {
    py::class_<slmprof::Recipe>(module, "Recipe", "What llama-quantize is asked for.")
        .def(py::init(&make_recipe), py::arg("file_type"), py::kw_only(), py::arg("tensor_types") = std::vector<NamedType>(),
             py::arg("output_type") = py::none(), py::arg("embedding_type") = py::none(), py::arg("keeps_output") = false,
             py::arg("is_pure") = false, py::arg("has_imatrix") = false, "Raises ValueError for an unknown type.");

    module.def("check_header",
               [](const std::string & path) { slmprof::unlocked([&] { (void) slmprof::read_header(path); }); },
               py::arg("path"), "Raises NativeModelError where ggml cannot read a GGUF file's header.");

    module.def("plan_quantization", &plan_quantization, py::arg("source"), py::arg("recipe"),
               "What the recipe would make of each tensor of a GGUF file. Raises ValueError and NativeModelError.");

    module.def("quantize_file", &quantize_file, py::arg("source"), py::arg("target"), py::arg("recipe"), py::kw_only(),
               py::arg("importances"), py::arg("notes"), py::arg("allow_requantize"), py::arg("n_threads"),
               py::arg("on_progress"),
               "Writes what the recipe makes of a GGUF file, as it goes along. Raises ValueError and NativeModelError.");
}
