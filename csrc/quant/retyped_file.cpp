#include "quant/retyped_file.h"

#include "quant/source_model.h"
#include "quant/tensor_choice.h"

#include "gguf.h"

#include <algorithm>
#include <cstdint>

namespace slmprof {

RetypedFile write_retyped_outline(const SourceModel & source, const std::string & target,
                                  const std::vector<NamedType> & types, const Metadata & notes) {
    RetypedFile file;
    file.parts = source.paths();
    std::vector<TensorSpec> specs;
    for (const size_t i : loader_order(source.tensors())) { // which is how llama-quantize writes them
        const TensorSpec & tensor = source.tensors()[i];
        const auto         given  = std::find_if(types.begin(), types.end(), [&](const NamedType & one) {
            return one.tensor == tensor.name;
        });
        MovedTensor        moved;
        moved.source = tensor;
        moved.type   = given == types.end() ? tensor.type : given->type;
        moved.part   = source.places()[i].part;
        moved.from   = source.places()[i].range;
        specs.push_back({ tensor.name, tensor.shape, moved.type });
        if (given != types.end() && given->n_per_row > 0) {
            specs.back().shape[0] = given->n_per_row;
        }
        file.tensors.push_back(moved);
    }

    const gguf_context_ptr gguf = source.metadata();
    gguf_set_val_u32(gguf.get(), "general.quantization_version", GGML_QNT_VERSION);
    set_metadata(gguf.get(), notes);
    const GgufHeader header(gguf.get(), specs);
    for (size_t i = 0; i < specs.size(); ++i) {
        file.tensors[i].to = header.tensors[i];
    }
    write_outline(target, header);
    return file;
}

} // namespace slmprof
