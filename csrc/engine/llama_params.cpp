#include "engine/llama_params.h"

#include "ggml-backend.h"
#include "engine/llama_log.h"

#include <mutex>
#include <regex>
#include <stdexcept>

namespace slmprof {

namespace {

// Every buffer type that a weight could be put into, by all devices.
std::vector<ggml_backend_buffer_type_t> weight_buffer_types() {
    std::vector<ggml_backend_buffer_type_t> types;
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        if (ggml_backend_buffer_type_t type = ggml_backend_dev_buffer_type(device)) {
            types.push_back(type);
        }
        ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(device);
        auto * get_extra = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
            ggml_backend_reg_get_proc_address(registry, "ggml_backend_dev_get_extra_bufts"));
        if (get_extra != nullptr) {
            for (ggml_backend_buffer_type_t * extra = get_extra(device); extra != nullptr && *extra != nullptr; extra++) {
                types.push_back(*extra);
            }
        }
    }
    return types;
}

ggml_backend_buffer_type_t find_buffer_type(const std::string & name) {
    std::string known;
    for (ggml_backend_buffer_type_t type : weight_buffer_types()) {
        if (name == ggml_backend_buft_name(type)) {
            return type;
        }
        known += std::string(known.empty() ? "" : ", ") + ggml_backend_buft_name(type);
    }
    throw std::invalid_argument("no buffer type '" + name + "'; this build has " + known);
}

ggml_type find_cache_type(const std::string & name) {
    std::string known;
    for (ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0, GGML_TYPE_Q4_1,
                            GGML_TYPE_IQ4_NL, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1 }) {
        if (name == ggml_type_name(type)) {
            return type;
        }
        known += std::string(known.empty() ? "" : ", ") + ggml_type_name(type);
    }
    throw std::invalid_argument("no cache type '" + name + "'; llama.cpp has " + known);
}

}  // namespace

void initialize_backends() {
    static std::once_flag once;
    std::call_once(once, [] {
        capture_llama_log();
        llama_backend_init();
    });
}

ModelParams::ModelParams(const EngineSettings & settings) : params(llama_model_default_params()) {
    params.n_gpu_layers    = 0;
    params.load_mode       = settings.use_mmap ? LLAMA_LOAD_MODE_MMAP : LLAMA_LOAD_MODE_NONE;
    params.use_extra_bufts = settings.use_repack;
    patterns_.reserve(settings.tensor_overrides.size());
    for (const auto & [pattern, buffer_type] : settings.tensor_overrides) {
        try {
            const std::regex checked(pattern);
        } catch (const std::regex_error &) {
            throw std::invalid_argument("'" + pattern + "' is no regular expression");
        }
        patterns_.push_back(pattern);
        overrides_.push_back({ patterns_.back().c_str(), find_buffer_type(buffer_type) });
    }
    if (!overrides_.empty()) {
        overrides_.push_back({ nullptr, nullptr });
        params.tensor_buft_overrides = overrides_.data();
    }
}

llama_context_params context_params(const EngineSettings & settings) {
    // llama.cpp aborts on these two: it reserves an output for each sequence.
    if (settings.n_batch < settings.n_seq_max) {
        throw std::invalid_argument("n_batch " + std::to_string(settings.n_batch) + " is less than one token for each of " +
                                    std::to_string(settings.n_seq_max) + " sequences");
    }
    if (settings.n_outputs_max != 0 && settings.n_outputs_max < settings.n_seq_max) {
        throw std::invalid_argument("n_outputs_max " + std::to_string(settings.n_outputs_max) + " is less than one for each of " +
                                    std::to_string(settings.n_seq_max) + " sequences");
    }
    llama_context_params params = llama_context_default_params();
    params.n_ctx           = settings.n_ctx;
    params.n_batch         = settings.n_batch;
    params.n_ubatch        = settings.n_ubatch;
    params.n_seq_max       = settings.n_seq_max;
    params.n_outputs_max   = settings.n_outputs_max;
    params.swa_full        = settings.swa_full;
    params.n_threads       = settings.n_threads;
    params.n_threads_batch = settings.n_threads;
    params.flash_attn_type = static_cast<llama_flash_attn_type>(settings.flash_attn);
    params.type_k          = find_cache_type(settings.type_k);
    params.type_v          = find_cache_type(settings.type_v);
    params.no_perf         = true;
    if (settings.observe_by_callback) {
        params.cb_eval = [](ggml_tensor *, bool, void *) { return true; };
    }
    return params;
}

}  // namespace slmprof
