// Engine settings in llama.cpp's own parameter structs.

#pragma once

#include "engine/settings.h"
#include "llama.h"

#include <string>
#include <vector>

namespace slmprof {

// Owns what llama_model_params points to.
struct ModelParams {
    explicit ModelParams(const EngineSettings & settings);
    ModelParams(const ModelParams &)             = delete;
    ModelParams & operator=(const ModelParams &) = delete;

    llama_model_params params;

  private:
    std::vector<llama_model_tensor_buft_override> overrides_;
    std::vector<std::string>                      patterns_;
};

llama_context_params context_params(const EngineSettings & settings);

// llama.cpp's backends, once for the process.
void initialize_backends();

}  // namespace slmprof
