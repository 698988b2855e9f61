// Which type each tensor gets in a file of a given type: llama.cpp's own quantizer decides, asked
// without any data. No pybind11.

#pragma once

#include "gguf/header.h"

#include "ggml.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

struct llama_model;

namespace slmprof {

// The dimensions that llama.cpp's quantizer looks at when it chooses types. Where a dimension
// differs between layers, the first layer's value counts, as it does in the quantizer.
struct QuantizerHints {
    std::string architecture;
    uint32_t    n_embd     = 0;
    uint32_t    n_ff       = 0;
    uint32_t    n_layer    = 0;
    uint32_t    n_head     = 0;
    uint32_t    n_head_kv  = 0;
    uint32_t    n_expert   = 0;
    uint32_t    head_dim_k = 0;
    uint32_t    head_dim_v = 0;
};

// Tensors whose names a regular expression finds, and the type that they get instead of the
// quantizer's choice. The first pattern that finds a name wins, as in llama-quantize.
struct TypePattern {
    std::string pattern;
    ggml_type   type = GGML_TYPE_F32;
};

// The file types ("Q4_K_M", ...) that can be written, each with the number that
// `general.file_type` stores, in llama-quantize's own spelling.
const std::vector<std::pair<std::string, int>> & synth_file_types();

// The number of a file type, aliases and lower case included.
// Throws std::invalid_argument for an unknown one, and for one whose types cannot be predicted.
int synth_file_type_number(const std::string & file_type);

// The type each tensor would have after `llama-quantize model-f32.gguf out.gguf FILE_TYPE`, in the
// order of `tensors`, whose own types are ignored. Throws std::invalid_argument for impossible
// descriptions (unknown architecture, no layers, empty shapes, over-long names) and for patterns that
// are no regular expression, find nothing, or name a type into whose blocks a row does not divide.
std::vector<ggml_type> choose_tensor_types(const QuantizerHints & hints, const std::string & file_type,
                                           const std::vector<TensorSpec> &  tensors,
                                           const std::vector<TypePattern> & patterns = {});

// The same for a loaded model, whose tensors keep their own types where the quantizer leaves them alone.
std::vector<ggml_type> choose_tensor_types(const llama_model & model, const std::string & file_type,
                                           const std::vector<TensorSpec> &  tensors,
                                           const std::vector<TypePattern> & patterns = {});

// The tensors as llama.cpp's loader orders them: by layer, then by name.
std::vector<size_t> loader_order(const std::vector<TensorSpec> & tensors);

} // namespace slmprof
