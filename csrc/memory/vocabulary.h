// What llama.cpp's notes on a vocabulary take of the heap, from the texts in a file's header.

#pragma once

#include "gguf.h"

#include <cstdint>

namespace slmprof {

// Of each token llama.cpp keeps a record, whether it has a text or not.
constexpr uint64_t k_token_bytes = 40;

// What the texts of tokens and merges add to that: the map from a text to its token, the pieces, and the
// ranks of merges, in the sizes of 64-bit libstdc++ and glibc.
uint64_t text_bytes(const gguf_context * metadata);

}  // namespace slmprof
