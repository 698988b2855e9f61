// Quantization by llama.cpp's own quantizer.

#include "bindings/registers.h"

#include "bindings/dicts.h"
#include "bindings/gguf_values.h"
#include "bindings/texts.h"
#include "bindings/unlocked.h"
#include "gguf/header.h"
#include "kernels/kernel_scheme.h"
#include "quant/quantizer.h"
#include "quant/retyped_file.h"
#include "quant/rows.h"
#include "quant/source_model.h"
#include "quant/tensor_choice.h"

#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
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

py::list paths(const std::vector<std::string> & parts) {
    py::list list;
    for (const std::string & part : parts) {
        list.append(slmprof::path_text(part));
    }
    return list;
}

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
        rows.append(py::dict("tensor"_a = slmprof::text(name), "shape"_a = shape, "source"_a = ggml_type_name(source),
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

py::dict write_retyped_outline(const std::string & source, const std::string & target,
                               const std::map<std::string, std::string> & types,
                               const std::vector<slmprof::NamedValue> &     notes,
                               const std::map<std::string, int64_t> &       row_bytes) {
    std::vector<slmprof::NamedType> given;
    for (const auto & [tensor, type] : types) {
        const auto packed = row_bytes.find(tensor);
        given.push_back({ tensor, slmprof::tensor_type_from_name(type), packed != row_bytes.end() ? packed->second : 0 });
    }
    const slmprof::Metadata values = slmprof::metadata_values(notes);
    slmprof::RetypedFile    file;
    slmprof::write_unlocked(target, [&] { file = slmprof::write_retyped_outline(slmprof::SourceModel(source), target, given, values); });
    py::list tensors;
    for (const slmprof::MovedTensor & one : file.tensors) {
        tensors.append(py::dict("tensor"_a = slmprof::text(one.source.name), "shape"_a = one.source.shape, "part"_a = one.part,
                                "source"_a = ggml_type_name(one.source.type), "source_begin"_a = one.from.begin_bytes,
                                "source_bytes"_a = one.from.size_bytes, "stored"_a = ggml_type_name(one.type),
                                "begin"_a = one.to.begin_bytes, "stored_bytes"_a = one.to.size_bytes));
    }
    return py::dict("parts"_a = paths(file.parts), "tensors"_a = tensors);
}

py::dict source_tensors(const std::string & path, const std::shared_ptr<slmprof::KernelScheme> & scheme) {
    std::vector<slmprof::TensorSpec> specs;
    std::vector<slmprof::DataPlace>  places;
    std::vector<std::string>         parts;
    slmprof::unlocked([&] {
        const slmprof::SourceModel source(path, scheme);
        specs  = source.tensors();
        places = source.places();
        parts  = source.paths();
    });
    py::list tensors;
    for (const size_t i : slmprof::loader_order(specs)) {
        tensors.append(py::dict("tensor"_a = slmprof::text(specs[i].name), "shape"_a = specs[i].shape, "part"_a = places[i].part,
                                "source"_a       = ggml_type_name(specs[i].type),
                                "source_begin"_a = places[i].range.begin_bytes,
                                "source_bytes"_a = places[i].range.size_bytes));
    }
    return py::dict("parts"_a = paths(parts), "tensors"_a = tensors);
}

using Blocks = py::array_t<uint8_t, py::array::c_style | py::array::forcecast>;

py::array_t<float> unpack_rows(const std::string & type_name, const Blocks & blocks, int64_t n_per_row) {
    const ggml_type type    = slmprof::tensor_type_from_name(type_name);
    const size_t    n_bytes = slmprof::row_bytes(type, n_per_row);
    if (size_t(blocks.size()) % n_bytes != 0) {
        throw std::invalid_argument(std::to_string(blocks.size()) + " bytes are no whole rows of " +
                                    std::to_string(n_bytes));
    }
    const auto         n_rows = int64_t(size_t(blocks.size()) / n_bytes);
    py::array_t<float> values({ n_rows, n_per_row });
    const uint8_t *    from = blocks.data();
    float *            to   = values.mutable_data();
    slmprof::unlocked([&] { slmprof::unpack_rows(type, from, n_rows, n_per_row, to); });
    return values;
}

py::array_t<uint8_t> pack_rows(const std::string & type_name, const Weights & values,
                               const std::optional<Weights> & importance) {
    const ggml_type type = slmprof::tensor_type_from_name(type_name);
    if (values.ndim() != 2) {
        throw std::invalid_argument("rows have two dimensions");
    }
    const int64_t n_rows = values.shape(0), n_per_row = values.shape(1);
    if (importance && importance->size() != n_per_row) {
        throw std::invalid_argument("rows of " + std::to_string(n_per_row) + " with " +
                                    std::to_string(importance->size()) + " importances");
    }
    py::array_t<uint8_t> blocks({ n_rows, int64_t(slmprof::row_bytes(type, n_per_row)) });
    const float *        from    = values.data();
    const float *        weights = importance ? importance->data() : nullptr;
    uint8_t *            to      = blocks.mutable_data();
    slmprof::unlocked([&] { slmprof::pack_rows(type, from, n_rows, n_per_row, weights, to); });
    return blocks;
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

    module.def("write_retyped_outline", &write_retyped_outline, py::arg("source"), py::arg("target"), py::kw_only(),
               py::arg("types"), py::arg("notes"), py::arg("row_bytes") = std::map<std::string, int64_t>(),
               "Writes the header of a model with other types and a hole for its data (tables of bytes have `row_bytes` "
               "in a row), and returns where the data of "
               "each tensor lies in the source's parts and in the file. Raises OSError, ValueError, NativeModelError.");

    module.def("source_tensors", &source_tensors, py::arg("path"), py::arg("scheme") = py::none(),
               "The parts of a model, and where the data of each tensor lies in them. Raises NativeModelError.");

    module.def("unpack_rows", &unpack_rows, py::arg("type"), py::arg("blocks"), py::arg("n_per_row"),
               "The numbers float32 [n, n_per_row] of rows of a type. Raises ValueError.");

    module.def("pack_rows", &pack_rows, py::arg("type"), py::arg("values"), py::arg("importance") = py::none(),
               "The bytes uint8 [n, bytes of a row] of rows float32 [n, n_per_row]. Raises ValueError.");
}
