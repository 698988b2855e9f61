// Engine settings in llama.cpp's own parameter structs.

#pragma once

#include "engine/settings.h"
#include "llama.h"

#include <string>
#include <vector>

namespace slmprof {

// Owns what llama_model_params points to.
struct ModelParams {
    // Throws std::invalid_argument.
    explicit ModelParams(const EngineSettings & settings);
    ModelParams(const ModelParams &)             = delete;
    ModelParams & operator=(const ModelParams &) = delete;

    // For a model that is only planned.
    void leave_weights_out();

    llama_model_params params;

  private:
    std::vector<ggml_backend_dev_t>               devices_;
    std::vector<llama_model_tensor_buft_override> overrides_;
    std::vector<std::string>                      patterns_;
    std::vector<float>                            tensor_split_;
};

// Throws std::invalid_argument.
llama_context_params context_params(const EngineSettings & settings);

}  // namespace slmprof
