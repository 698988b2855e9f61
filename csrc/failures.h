// What llama.cpp or a profiling library refuses, and what is refused of users' schemes.

#pragma once

#include <stdexcept>

namespace slmprof {

// The model file cannot be used.
struct ModelFailure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// llama.cpp refused a context or a step.
struct EngineFailure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// CUPTI cannot observe the GPU; says why, and what to do. Everything else goes on working.
struct CuptiFailure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A user's quantization scheme breaks its contract.
struct SchemeFailure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace slmprof
