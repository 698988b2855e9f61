// What a loaded model and a context of it are.

#pragma once

#include <cstdint>
#include <map>
#include <string>

struct llama_context;
struct llama_model;

namespace slmprof {

struct ModelInfo {
    std::string name, architecture, file_type;
    uint64_t    n_params = 0, size_bytes = 0;
    int32_t     n_layer = 0, n_embd = 0, n_vocab = 0, n_ctx_train = 0, n_expert = 0;
    int32_t     n_head = 0, n_head_kv = 0, n_ff = 0;  // of the first layer; 0 where it has none
    bool        has_vocab = false, has_encoder = false, has_decoder = true, is_recurrent = false, is_hybrid = false;
    bool        random_weights = false;
    int32_t     bos = -1;  // the token that stands before a text; -1 where there is none
    std::string scheme;  // whose values the file holds as floats; empty for none
    std::map<std::string, uint64_t> tensor_types;  // bytes in the file of each type
};

struct ContextInfo {
    uint32_t n_ctx = 0, n_batch = 0, n_ubatch = 0, n_seq_max = 0;
    int32_t  n_threads = 0;
    bool     has_memory = false;  // false for a model that only encodes
    bool     flash_attn = false;
};

ModelInfo   describe(const llama_model * model);
ContextInfo describe(const llama_context * context);

}  // namespace slmprof
