// Random weights: GGUF files of a described architecture whose numbers mean nothing and whose
// shapes, types and sizes are exactly those of the real thing.
//
// choose_tensor_types() asks llama.cpp's own quantizer which type each tensor would get,
// write_random_gguf() writes header and random data. Neither knows the other. No pybind11 here.

#pragma once

#include "random_blocks.h"

#include "ggml.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace slmprof {

// One tensor of a model. `shape` is in ggml's order: the row length first.
struct TensorSpec {
    std::string          name;
    std::vector<int64_t> shape;
    ggml_type            type = GGML_TYPE_F32;
    TensorFill           fill = TensorFill::weight;
};

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

// A metadata value of a GGUF file: uint32, uint64, float32, bool, string, int32[], float32[],
// string[].
using MetadataValue = std::variant<uint32_t, uint64_t, float, bool, std::string, std::vector<int32_t>,
                                   std::vector<float>, std::vector<std::string>>;
using Metadata      = std::vector<std::pair<std::string, MetadataValue>>;

// The file types ("Q4_K_M", ...) that can be written, each with the number that
// `general.file_type` stores, in llama-quantize's own spelling.
const std::vector<std::pair<std::string, int>> & synth_file_types();

// The number of a file type, aliases and lower case included.
// Throws std::invalid_argument for an unknown one, and for one whose types cannot be predicted.
int synth_file_type_number(const std::string & file_type);

// The type each tensor would have after `llama-quantize model-f32.gguf out.gguf FILE_TYPE`, in the
// order of `tensors`, whose own types are ignored. Throws std::invalid_argument for impossible
// descriptions (unknown architecture, no layers, empty shapes, over-long names).
std::vector<ggml_type> choose_tensor_types(const QuantizerHints & hints, const std::string & file_type,
                                           const std::vector<TensorSpec> & tensors);

// The ggml type of this name ("q4_K"). Throws std::invalid_argument.
ggml_type tensor_type_from_name(const std::string & name);

// The bytes of a tensor of this type and shape. Throws std::invalid_argument.
size_t tensor_size_bytes(ggml_type type, const std::vector<int64_t> & shape);

// Called now and then on the calling thread; whatever it throws stops the writing.
using PollFunction = std::function<void()>;

// Writes `path` with the given metadata and tensors. The bytes depend on the seed alone, not on
// the number of threads (0: as many as the machine has, at most 8). The file appears whole or not at
// all: it is written under a temporary name in the same folder, synced and renamed.
// Throws std::system_error (no permission, no space, ...) and std::invalid_argument.
void write_random_gguf(const std::string & path, const Metadata & metadata, const std::vector<TensorSpec> & tensors,
                       uint64_t seed, int n_threads, const PollFunction & poll);

} // namespace slmprof
