#include "quant/quantizer.h"

#include "failures.h"
#include "engine/backends.h"
#include "engine/llama_log.h"
#include "llama_api/parameters.h"

#include "llama.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

namespace slmprof {

namespace {

// Of a tensor: its source, its result and its values as float32, or as many rows of them.
constexpr size_t k_slab_bytes = size_t(256) << 20;

std::vector<llama_model_kv_override> to_overrides(const QuantizeJob & job) {
    std::vector<llama_model_kv_override> overrides;
    for (const auto & [key, value] : job.notes) {
        llama_model_kv_override one = {};
        if (key.size() >= sizeof(one.key)) {
            throw std::invalid_argument("the key " + key + " is too long");
        }
        std::copy(key.begin(), key.end(), one.key);
        if (const auto * text = std::get_if<std::string>(&value)) {
            if (text->size() >= sizeof(one.val_str)) {
                throw std::invalid_argument("the value of " + key + " is too long");
            }
            one.tag = LLAMA_KV_OVERRIDE_TYPE_STR;
            std::copy(text->begin(), text->end(), one.val_str);
        } else {
            one.tag     = LLAMA_KV_OVERRIDE_TYPE_INT;
            one.val_i64 = std::get<int64_t>(value);
        }
        overrides.push_back(one);
    }
    overrides.push_back({}); // whose key is empty
    return overrides;
}

// The reason in a line of the log, or nothing.
std::string reason_in(const std::vector<std::string> & lines) {
    const std::string mark = "failed to quantize: ";
    for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
        if (const size_t at = line->find(mark); at != std::string::npos) {
            return line->substr(at + mark.size());
        }
    }
    return "";
}

} // namespace

void quantize_file(const QuantizeJob & job, const TensorProgress & on_progress) {
    initialize_backends();
    clear_llama_log();
    // The quantizer says which tensor is at hand, and nobody else does.
    const LogListener listener([&](const std::string & text) {
        int number = 0, n_tensors = 0;
        if (std::sscanf(text.c_str(), "[%d/%d]", &number, &n_tensors) == 2) {
            on_progress(number, n_tensors);
        }
    });
    QuantizeParams quantizer(job.recipe, job.importances);
    const std::vector<llama_model_kv_override> notes = to_overrides(job);
    quantizer.params.kv_overrides     = notes.data();
    quantizer.params.allow_requantize = job.allows_requantizing;
    quantizer.params.nthread          = job.n_threads;
    llama_api::set_buffer_limit(quantizer.params, k_slab_bytes);
    if (llama_model_quantize(job.source.c_str(), job.target.c_str(), &quantizer.params) != 0) {
        const std::string reason = reason_in(llama_log_lines());
        throw ModelFailure(reason.empty() ? "llama.cpp cannot quantize " + job.source : reason);
    }
}

} // namespace slmprof
