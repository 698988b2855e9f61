// The types of users' quantization schemes, which ggml has no numbers for: tensors that are stored in one have
// another type to ggml, and are told apart here.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

struct ggml_tensor;

namespace slmprof {

struct CustomType {
    std::string name;  // custom:NAME
    int64_t     block_size = 1;
    size_t      type_size  = 1;

    size_t row_bytes(int64_t n_per_row) const { return static_cast<size_t>(n_per_row / block_size) * type_size; }
    size_t size_bytes(const ggml_tensor * tensor) const;
};

// What fits into the layout of a path code.
constexpr uint32_t k_most_custom_types = 1024;

// The number of a type, the same for one that is equal in everything. Throws std::length_error beyond the limit.
uint32_t add_custom_type(const CustomType & type);

// Types stay for the life of the process.
uint32_t           n_custom_types();
const CustomType & custom_type(uint32_t number);

// The type that a tensor is stored in; nullptr where ggml's own is the truth.
const CustomType * custom_type_of(const ggml_tensor * tensor);

// Who knows that: of tensors that lie in this buffer type, by the tensor.
using CustomTypeFinder = const CustomType * (*) (const ggml_tensor * tensor);
void find_custom_types_by(CustomTypeFinder finder);

}  // namespace slmprof
