#include "quant/layer_outputs.h"

#include "ggml-backend.h"
#include "ggml.h"

#include <cstdio>
#include <utility>

namespace slmprof {

namespace {

// llama.cpp's graphs call it so, whatever the architecture.
int layer_of(const ggml_tensor & tensor) {
    int layer = -1;
    return std::sscanf(tensor.name, "l_out-%d", &layer) == 1 ? layer : -1;
}

} // namespace

bool LayerOutputs::wants(const ggml_tensor & tensor) {
    return layer_of(tensor) >= 0 && tensor.type == GGML_TYPE_F32 && ggml_is_contiguous(&tensor);
}

void LayerOutputs::see(const ggml_tensor & tensor) {
    LayerOutput & output = outputs_[layer_of(tensor)];
    output.n_embd        = tensor.ne[0];
    const size_t begin   = output.values.size();
    output.values.resize(begin + size_t(ggml_nelements(&tensor)));
    ggml_backend_tensor_get(&tensor, output.values.data() + begin, 0, ggml_nbytes(&tensor));
}

std::map<int, LayerOutput> LayerOutputs::take() {
    return std::exchange(outputs_, {});
}

} // namespace slmprof
