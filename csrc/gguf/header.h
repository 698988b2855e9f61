// The part of a GGUF file before its data: metadata and the table of tensors. Whoever writes files,
// with data or without, takes the header from here. No pybind11.

#pragma once

#include "ggml-cpp.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace slmprof {

// One tensor of a model. `shape` is in ggml's order: the row length first.
struct TensorSpec {
    std::string          name;
    std::vector<int64_t> shape;
    ggml_type            type = GGML_TYPE_F32;
};

// A metadata value of a GGUF file: uint32, uint64, float32, bool, string, int32[], float32[],
// string[].
using MetadataValue = std::variant<uint32_t, uint64_t, float, bool, std::string, std::vector<int32_t>,
                                   std::vector<float>, std::vector<std::string>>;
using Metadata      = std::vector<std::pair<std::string, MetadataValue>>;

// Adds keys to a file's metadata, or gives them other values.
void set_metadata(gguf_context * gguf, const Metadata & metadata);

// The ggml type of this name ("q4_K"), whatever its case. Throws std::invalid_argument.
ggml_type tensor_type_from_name(const std::string & name);

// The bytes of a tensor of this type and shape. Throws std::invalid_argument.
size_t tensor_size_bytes(ggml_type type, const std::vector<int64_t> & shape);

// Throws std::invalid_argument for names and shapes that ggml cannot hold.
void check_tensor(const TensorSpec & tensor);

// A context that holds the headers of as many tensors, without data, and a graph of as many nodes.
ggml_context_ptr make_header_context(size_t n_tensors, size_t n_nodes = 0);

// A tensor without data in such a context, of the given type instead of its own.
ggml_tensor * make_header(ggml_context * context, const TensorSpec & tensor, ggml_type type);

// The metadata and the tensors, without data, of a file that is there.
struct FileHeader {
    ggml_context_ptr tensors;
    gguf_context_ptr metadata;
};

// Throws ModelFailure for a file that ggml cannot read, or that it could not write again.
FileHeader read_header(const std::string & path);

// Where the bytes of one tensor lie in the file.
struct DataRange {
    uint64_t begin_bytes = 0;
    size_t   size_bytes  = 0;
};

// Everything before the data, as it stands in the file, and where each tensor's data goes.
struct GgufHeader {
    std::vector<uint8_t>   bytes;
    std::vector<DataRange> tensors; // in the order given
    uint64_t               file_bytes = 0; // header, data and the padding behind each tensor

    // Throws std::invalid_argument for tensors that cannot stand in one file.
    GgufHeader(const Metadata & metadata, const std::vector<TensorSpec> & tensors);

    // Adds the tensors to the metadata that `gguf` already holds, in ggml's default alignment.
    GgufHeader(gguf_context * gguf, const std::vector<TensorSpec> & tensors);
};

// Writes an outline: the header of a file, and a hole where its data is, so that it takes no room. llama.cpp
// plans memory on it as on the real file. It appears whole or not at all. Throws std::system_error (no
// permission, a file longer than the file system allows, ...).
void write_outline(const std::string & path, const GgufHeader & header);

} // namespace slmprof
