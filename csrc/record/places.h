// Where things lie: a range of addresses, and the place that a tensor of a planned graph will have.

#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>

struct ggml_backend_buffer_type;
struct ggml_tensor;

namespace slmprof {

struct AddressRange {
    uintptr_t begin = 0;
    uint64_t  size  = 0;

    uintptr_t end() const { return begin + size; }
    bool      overlaps(const AddressRange & other) const { return begin < other.end() && other.begin < end(); }

    AddressRange common_with(const AddressRange & other) const {
        const uintptr_t first = begin > other.begin ? begin : other.begin;
        const uintptr_t last  = end() < other.end() ? end() : other.end();
        return { first, last > first ? last - first : 0 };
    }
};

template <typename T> AddressRange range_of(const T * items, size_t n) {
    return { reinterpret_cast<uintptr_t>(items), n * sizeof(T) };
}

// What a tensor of a planned graph will lie in; where in it, only if the graph allocator places it.
struct GraphPlace {
    ggml_backend_buffer_type * type   = nullptr;
    int32_t                    buffer = -1;
    int64_t                    offset = -1;
};

using GraphPlaces = std::unordered_map<const ggml_tensor *, GraphPlace>;

}  // namespace slmprof
