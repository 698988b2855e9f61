// Which type each tensor gets in a file of a given type: llama.cpp's own quantizer decides, asked
// without any data. No pybind11.

#pragma once

#include "gguf/header.h"
#include "quant/recipe.h"

#include "ggml.h"

#include <cstdint>
#include <string>
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

// Types that a file can hold weights in: not those that ggml computes with alone.
bool is_weight_type(ggml_type type);

// How a type stores weights: so many in a block of so many bytes.
struct WeightType {
    std::string name;
    int64_t     block_size   = 0;
    int64_t     type_size    = 0;
    bool        is_quantized = false;
};

// All of them in this llama.cpp, a fork's own ones included.
std::vector<WeightType> weight_types();

// What becomes of a tensor.
struct TensorChoice {
    ggml_type type  = GGML_TYPE_F32;
    ggml_type asked = GGML_TYPE_F32; // what it would be if every block divided its rows
    bool      is_quantizable = false; // false: it stays as it is, whatever the recipe says
};

// What llama-quantize would make of each tensor of a loaded model by this recipe, in the order of `tensors`.
// Throws std::invalid_argument for patterns that are no regular expression, find nothing, find only what is
// never quantized, or (is_strict) name a type that does not hold a row; for types that no weights can have;
// and for an output or embedding type that does not hold a row, on which llama.cpp would abort.
std::vector<TensorChoice> choose_tensor_types(const llama_model & model, const Recipe & recipe,
                                              const std::vector<TensorSpec> & tensors);

// The same of a model that is described by its dimensions, whose tensors are all float32.
// Throws std::invalid_argument also for impossible descriptions (unknown architecture, no layers, empty
// shapes, over-long names).
std::vector<TensorChoice> choose_tensor_types(const QuantizerHints & hints, const Recipe & recipe,
                                              const std::vector<TensorSpec> & tensors);

// The tensors as llama.cpp's loader orders them: by layer, then by name.
std::vector<size_t> loader_order(const std::vector<TensorSpec> & tensors);

} // namespace slmprof
