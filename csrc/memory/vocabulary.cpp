#include "memory/vocabulary.h"

#include <cstring>

namespace slmprof {
namespace {

// Longer texts lie in a block of their own, whose size malloc rounds up.
constexpr size_t k_longest_inside = 15;

constexpr uint64_t k_string_bytes = 32, k_bucket_bytes = 8;
// A node of a hash map with what malloc adds: next one, hash, key and value.
constexpr uint64_t k_token_node_bytes = 64, k_merge_node_bytes = 96;
// Where a text is held: with its token, in the map, and as a piece.
constexpr uint64_t k_copies_of_token = 3;

uint64_t block_bytes(size_t length) {
    return length <= k_longest_inside ? 0 : (length + 1 + 8 + 15) / 16 * 16;
}

template <typename Each> uint64_t sum_of_texts(const gguf_context * metadata, const char * name, Each bytes_of) {
    const int64_t key = gguf_find_key(metadata, name);
    if (key < 0 || gguf_get_kv_type(metadata, key) != GGUF_TYPE_ARRAY ||
        gguf_get_arr_type(metadata, key) != GGUF_TYPE_STRING) {
        return 0;
    }
    uint64_t     sum = 0;
    const size_t n   = gguf_get_arr_n(metadata, key);
    for (size_t i = 0; i < n; i++) {
        sum += bytes_of(gguf_get_arr_str(metadata, key, i));
    }
    return sum;
}

}  // namespace

uint64_t text_bytes(const gguf_context * metadata) {
    const uint64_t tokens = sum_of_texts(metadata, "tokenizer.ggml.tokens", [](const char * text) {
        return k_token_node_bytes + k_bucket_bytes + k_string_bytes + k_copies_of_token * block_bytes(std::strlen(text));
    });
    const uint64_t merges = sum_of_texts(metadata, "tokenizer.ggml.merges", [](const char * text) {
        // Two words with a blank between them.
        const char * blank = std::strchr(*text == ' ' ? text + 1 : text, ' ');
        const size_t first = blank != nullptr ? static_cast<size_t>(blank - text) : 0;
        return k_merge_node_bytes + k_bucket_bytes + block_bytes(first) + block_bytes(std::strlen(text) - first);
    });
    return tokens + merges;
}

}  // namespace slmprof
