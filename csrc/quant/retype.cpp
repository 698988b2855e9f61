#include "quant/retype.h"

#include "gguf/header.h"
#include "quant/source_model.h"
#include "quant/tensor_choice.h"

#include "gguf.h"

#include <vector>

namespace slmprof {

void retype_outline(const std::string & source, const std::string & target, const std::string & file_type) {
    const int         number = file_type_number(file_type);
    const SourceModel model(source);
    Recipe            recipe;
    recipe.file_type = file_type;

    const std::vector<TensorSpec> & tensors = model.tensors();
    const std::vector<TensorChoice> choices = choose_tensor_types(model.model(), recipe, tensors);
    std::vector<TensorSpec>         outline;
    for (const size_t i : loader_order(tensors)) { // which is how llama-quantize writes them
        outline.push_back(tensors[i]);
        outline.back().type = choices[i].type;
    }

    const gguf_context_ptr gguf = model.metadata();
    gguf_set_val_u32(gguf.get(), "general.quantization_version", GGML_QNT_VERSION);
    gguf_set_val_u32(gguf.get(), "general.file_type", uint32_t(number));
    write_outline(target, GgufHeader(gguf.get(), outline));
}

} // namespace slmprof
