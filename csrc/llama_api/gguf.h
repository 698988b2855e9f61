// What ggml's versions tell in different ways of a GGUF file's header: see parameters.h.

#pragma once

#include "gguf.h"

#include <cstdint>
#include <type_traits>
#include <utility>

namespace slmprof::llama_api {

template <typename Gguf, typename = void> struct TellsShapes : std::false_type {};
template <typename Gguf>
struct TellsShapes<Gguf, std::void_t<decltype(gguf_get_tensor_ne(std::declval<const Gguf *>(), int64_t{}))>> : std::true_type {};

// The GGML_MAX_DIMS dimensions of a tensor; null where ggml tells its size in bytes alone.
template <typename Gguf> const int64_t * tensor_shape(const Gguf * gguf, int64_t tensor) {
    if constexpr (TellsShapes<Gguf>::value) {
        return gguf_get_tensor_ne(gguf, tensor);
    } else {
        return nullptr;
    }
}

}  // namespace slmprof::llama_api
