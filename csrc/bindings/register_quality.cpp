// What models say of a text, how far two of them are apart, and what a model's weights are multiplied with.

#include "bindings/registers.h"

#include "bindings/columns.h"
#include "bindings/texts.h"
#include "bindings/unlocked.h"
#include "engine/engine.h"
#include "quant/importance_sums.h"
#include "quant/layer_outputs.h"
#include "quant/token_scores.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

namespace py = pybind11;
using namespace py::literals;

namespace {

using Logits = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Tokens = py::array_t<int32_t, py::array::c_style | py::array::forcecast>;

slmprof::ScoredRows rows_of(const Logits & logits, const Tokens & next) {
    if (logits.ndim() != 2 || next.ndim() != 1 || logits.shape(0) != next.shape(0)) {
        throw std::invalid_argument("logits are [n, n_vocab] and the next tokens [n]");
    }
    return { logits.data(), next.data(), int32_t(logits.shape(0)), int32_t(logits.shape(1)) };
}

py::array_t<double> negative_log_likelihoods(const Logits & logits, const Tokens & next, int n_threads) {
    const slmprof::ScoredRows rows = rows_of(logits, next);
    return slmprof::to_array(slmprof::unlocked([&] { return slmprof::negative_log_likelihoods(rows, n_threads); }));
}

py::dict diverge(const Logits & logits, const Logits & reference, const Tokens & next, bool as_stored, int n_threads) {
    const slmprof::ScoredRows rows = rows_of(logits, next);
    (void) rows_of(reference, next);
    if (reference.shape(1) != logits.shape(1)) {
        throw std::invalid_argument("the vocabularies have " + std::to_string(reference.shape(1)) + " and " +
                                    std::to_string(logits.shape(1)) + " tokens");
    }
    const auto    kind   = as_stored ? slmprof::ReferenceLogits::stored : slmprof::ReferenceLogits::exact;
    const float * values = reference.data();
    auto          found  = slmprof::unlocked([&] { return slmprof::diverge(rows, values, kind, n_threads); });
    return py::dict("nll"_a = slmprof::to_array(std::move(found.nll)),
                    "reference_nll"_a = slmprof::to_array(std::move(found.reference_nll)),
                    "kld"_a = slmprof::to_array(std::move(found.kld)),
                    "probability_change"_a = slmprof::to_array(std::move(found.probability_change)),
                    "same_top"_a = slmprof::to_array(std::move(found.same_top)));
}

std::vector<int32_t> ids_of(const Tokens & tokens) {
    if (tokens.ndim() != 1) {
        throw std::invalid_argument("tokens must be a one-dimensional array");
    }
    return { tokens.data(), tokens.data() + tokens.size() };
}

py::dict layer_outputs(slmprof::Engine & engine, const Tokens & tokens) {
    const std::vector<int32_t> ids = ids_of(tokens);
    slmprof::LayerOutputs      outputs;
    slmprof::unlocked([&] { engine.run_observed(ids, outputs); });
    py::dict found;
    for (auto & [layer, output] : outputs.take()) {
        const auto n = int64_t(output.values.size()) / output.n_embd;
        found[py::int_(layer)] = slmprof::to_array(std::move(output.values)).reshape({ n, output.n_embd });
    }
    return found;
}

py::dict to_dict(const slmprof::ImportanceSum & sum) {
    const std::vector<float> counts(sum.counts.begin(), sum.counts.end());
    return py::dict("squares"_a = py::array_t<float>({ sum.n_matrices, sum.n_per_row }, sum.squares.data()),
                    "counts"_a  = py::array_t<float>({ sum.n_matrices, int64_t(1) }, counts.data()));
}

} // namespace

void register_quality(py::module_ & module) {
    module.def("negative_log_likelihoods", &negative_log_likelihoods, py::arg("logits"), py::arg("next"), py::kw_only(),
               py::arg("n_threads"), "Of each next token by the logits before it, float64 [n]. Raises ValueError.");

    module.def("diverge", &diverge, py::arg("logits"), py::arg("reference"), py::arg("next"), py::kw_only(),
               py::arg("as_stored"), py::arg("n_threads"),
               "How far logits are from a reference's, a row each; as_stored: from what llama-perplexity stores of "
               "those. Raises ValueError.");

    module.def("layer_outputs", &layer_outputs, py::arg("engine"), py::arg("tokens"),
               "Runs tokens and returns what each layer hands on, float32 [n, n_embd], by its number. Raises ValueError "
               "and NativeEngineError.");

    py::class_<slmprof::ImportanceSums>(module, "ImportanceSums", "What each weight is multiplied with.")
        .def(py::init<bool>(), py::kw_only(), py::arg("takes_head"))
        .def("add",
             [](slmprof::ImportanceSums & sums, slmprof::Engine & engine, const Tokens & tokens) {
                 const std::vector<int32_t> ids = ids_of(tokens);
                 slmprof::unlocked([&] { engine.run_observed(ids, sums); });
             },
             py::arg("engine"), py::arg("tokens"), "Runs tokens. Raises ValueError and NativeEngineError.")
        .def("sums", [](const slmprof::ImportanceSums & sums) {
            py::dict found;
            for (const auto & [tensor, sum] : sums.sums()) {
                found[slmprof::text(tensor)] = to_dict(sum);
            }
            return found;
        });
}
