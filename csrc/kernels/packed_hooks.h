// The C interface by which llama.cpp's loader takes packed weights for those of the model
// (third_party/llama.cpp/anchors.toml). None of them does anything while a thread loads no such model.

#pragma once

#include "ggml-backend.h"
#include "ggml.h"

#include <stddef.h>
#include <stdint.h>

struct gguf_context;

#ifdef __cplusplus
extern "C" {
#endif

// Gives a packed tensor of a file's header the model's shape; how many elements more that has.
int64_t slmprof_reshape_packed(const struct gguf_context * metadata, struct ggml_tensor * tensor);

// Where such weights lie; NULL where there are none.
ggml_backend_buffer_type_t slmprof_packed_buffer_type(void);

// What a tensor takes in the file.
size_t slmprof_stored_bytes(const struct ggml_tensor * tensor);

#ifdef __cplusplus
}
#endif

#define SLMPROF_RESHAPE_PACKED(metadata, weights, n_elements)                                \
    for (auto & named : weights) {                                                           \
        n_elements += slmprof_reshape_packed(metadata, named.second.tensor);                 \
    }
#define SLMPROF_ADD_PACKED_BUFFER_TYPE(buffer_types)                                         \
    if (ggml_backend_buffer_type_t type = slmprof_packed_buffer_type()) {                    \
        buffer_types.emplace_back(ggml_backend_buft_get_device(type), type);                 \
    }
