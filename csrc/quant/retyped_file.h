// A file of a model whose tensors have other types: its header, and where the data of each comes from and goes to.

#pragma once

#include "gguf/header.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace slmprof {

class SourceModel;

struct MovedTensor {
    TensorSpec source;
    ggml_type  type = GGML_TYPE_F32; // in the new file
    size_t     part = 0;             // of the source
    DataRange  from, to;             // in that part, and in the new file
};

// The type that a tensor gets.
struct NamedType {
    std::string tensor;
    ggml_type   type = GGML_TYPE_F32;
    int64_t     n_per_row = 0; // where a row has another number of elements than in the source: bytes of a scheme's blocks
};

struct RetypedFile {
    std::vector<std::string> parts; // paths of the source: several where it is split
    std::vector<MovedTensor> tensors; // by layer, then by name, as llama-quantize orders them
};

// Writes the header of the new file, and a hole where its data belongs. Tensors that `types` does not name keep theirs;
// `notes` are added to the source's metadata. Throws as write_outline() does.
RetypedFile write_retyped_outline(const SourceModel & source, const std::string & target,
                                  const std::vector<NamedType> & types, const Metadata & notes);

} // namespace slmprof
