#include "engine/llama_params.h"

#include "engine/graph_observer.h"

#include "engine/backends.h"
#include "llama_api/parameters.h"
#include "record/cpu_lanes.h"

#include <algorithm>
#include <regex>
#include <stdexcept>

namespace slmprof {

namespace {

ggml_type find_cache_type(const std::string & name) {
    const std::vector<ggml_type> types = { GGML_TYPE_F32,  GGML_TYPE_F16,    GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0,
                                           GGML_TYPE_Q4_1, GGML_TYPE_IQ4_NL, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1 };
    return find_named("cache type", name, types, ggml_type_name);
}

}  // namespace

ModelParams::ModelParams(const EngineSettings & settings) : params(llama_model_default_params()) {
    // The CPU is always there; none beside it is an empty list, not a null one, which would mean all.
    for (const std::string & name : settings.devices) {
        for (ggml_backend_dev_t device : find_devices(name)) {
            const bool is_known = std::find(devices_.begin(), devices_.end(), device) != devices_.end();
            if (!is_cpu(device) && !is_known) {
                devices_.push_back(device);
            }
        }
    }
    if (!settings.tensor_split.empty()) {
        if (settings.tensor_split.size() > devices_.size()) {
            throw std::invalid_argument("tensor_split has " + std::to_string(settings.tensor_split.size()) + " parts for " +
                                        std::to_string(devices_.size()) + " devices");
        }
        tensor_split_ = settings.tensor_split;
        tensor_split_.resize(llama_max_devices(), 0.0F);  // which llama.cpp reads all of
        params.tensor_split = tensor_split_.data();
    }
    params.split_mode = static_cast<llama_split_mode>(settings.split_mode);
    params.n_gpu_layers    = settings.n_gpu_layers;
    params.use_extra_bufts = settings.use_repack;
    llama_api::set_mapping(params, settings.use_mmap);
    patterns_.reserve(settings.tensor_overrides.size());
    for (const auto & [pattern, buffer_type] : settings.tensor_overrides) {
        try {
            const std::regex checked(pattern);
        } catch (const std::regex_error & error) {
            throw std::invalid_argument("'" + pattern + "' is no regular expression: " + error.what());
        }
        patterns_.push_back(pattern);
        overrides_.push_back({ patterns_.back().c_str(), find_buffer_type(buffer_type, devices_) });
    }
    if (!overrides_.empty()) {
        overrides_.push_back({ nullptr, nullptr });
        params.tensor_buft_overrides = overrides_.data();
    }
    devices_.push_back(nullptr);
    params.devices = devices_.data();
}

void ModelParams::leave_weights_out() {
    params.no_alloc = true;
    llama_api::set_mapping(params, false);  // llama.cpp aborts otherwise
}

llama_context_params context_params(const EngineSettings & settings) {
    // llama.cpp aborts on these: it reserves an output for each sequence, and cuts the batch to the context.
    const auto check_tokens = [&](const char * name, uint32_t n_tokens) {
        if (n_tokens < settings.n_seq_max) {
            throw std::invalid_argument(std::string(name) + " " + std::to_string(n_tokens) +
                                        " is less than one token for each of " + std::to_string(settings.n_seq_max) + " sequences");
        }
    };
    check_tokens("n_batch", settings.n_batch);
    if (settings.n_ctx != 0) {
        check_tokens("n_ctx", settings.n_ctx);
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
    params.swa_full        = settings.swa_full;
    params.n_threads       = settings.n_threads;
    params.n_threads_batch = settings.n_threads;
    params.flash_attn_type = static_cast<llama_flash_attn_type>(settings.flash_attn);
    params.type_k          = find_cache_type(settings.type_k);
    params.type_v          = find_cache_type(settings.type_v);
    params.no_perf         = true;
    llama_api::set_outputs_max(params, settings.n_outputs_max);
    if (settings.observe_by_callback) {
        params.cb_eval = [](ggml_tensor *, bool, void *) { return true; };
    }
    if (settings.can_observe) {
        params.cb_eval = &ObserverSlot::on_tensor;
    }
    return params;
}

}  // namespace slmprof
