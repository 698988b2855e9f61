#include "engine/model_info.h"

#include "llama_api/model.h"
#include "record/custom_types.h"

#include "ggml.h"
#include "llama-context.h"
#include "llama.h"

#include <cstdlib>
#include <set>
#include <utility>
#include <vector>

namespace slmprof {

namespace {

std::string metadata(const llama_model * model, const char * key) {
    char      text[256];
    const int length = llama_model_meta_val_str(model, key, text, sizeof(text));
    return length >= 0 ? std::string(text) : std::string();
}

// A length in the metadata; where it is told layer by layer ("[512, 768]"), the first one.
int32_t first_length(const llama_model * model, const std::string & key) {
    const std::string text  = metadata(model, key.c_str());
    const size_t      begin = text.find_first_of("0123456789");
    return begin == std::string::npos ? 0 : int32_t(std::strtol(text.c_str() + begin, nullptr, 10));
}

}  // namespace

ModelInfo describe(const llama_model * model) {
    const llama_vocab * vocab = llama_model_get_vocab(model);
    ModelInfo           info;
    info.name           = metadata(model, "general.name");
    info.architecture   = metadata(model, "general.architecture");
    info.file_type      = llama_api::file_type(*model);
    info.n_params       = llama_model_n_params(model);
    info.size_bytes     = llama_model_size(model);
    info.n_layer        = llama_model_n_layer(model);
    info.n_embd         = llama_model_n_embd(model);
    info.n_vocab        = llama_vocab_n_tokens(vocab);
    info.n_ctx_train    = llama_model_n_ctx_train(model);
    info.n_expert       = static_cast<int32_t>(model->hparams.n_expert);
    info.n_head         = llama_model_n_head(model);
    info.n_head_kv      = llama_model_n_head_kv(model);
    info.n_ff           = first_length(model, info.architecture + ".feed_forward_length");
    info.has_vocab      = llama_vocab_type(vocab) != LLAMA_VOCAB_TYPE_NONE;
    info.has_encoder    = llama_model_has_encoder(model);
    info.has_decoder    = llama_model_has_decoder(model);
    info.is_recurrent   = llama_model_is_recurrent(model);
    info.is_hybrid      = llama_model_is_hybrid(model);
    info.random_weights = metadata(model, "slmprof.synthetic") == "true";
    info.bos            = info.has_vocab && llama_vocab_get_add_bos(vocab) ? llama_vocab_bos(vocab) : -1;
    info.scheme         = metadata(model, "slmprof.scheme.name");
    std::set<std::string> seen;
    // A tied output stands in it twice.
    for (const auto & [name, tensor] : llama_internal_get_tensor_map(model)) {
        if (seen.insert(name).second) {
            const CustomType * custom = custom_type_of(tensor);
            info.tensor_types[custom != nullptr ? custom->name : ggml_type_name(tensor->type)] +=
                custom != nullptr ? custom->size_bytes(tensor) : ggml_nbytes(tensor);
            if (custom != nullptr) {
                info.file_type = custom->name;
                info.scheme.clear();
            }
        }
    }
    return info;
}

ContextInfo describe(const llama_context * context) {
    return { llama_n_ctx(context),   llama_n_batch(context),
             llama_n_ubatch(context), llama_n_seq_max(context),
             // llama.cpp's function changes nothing, but is not declared so.
             llama_n_threads(const_cast<llama_context *>(context)), llama_get_memory(context) != nullptr,
             context->get_cparams().flash_attn };
}

}  // namespace slmprof
