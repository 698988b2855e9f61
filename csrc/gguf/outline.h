// Outlines: GGUF files whose header and table of tensors are those of the real file and whose data is
// a hole. llama.cpp plans memory on them as on the real file; on disk they take as much as the header.

#pragma once

#include "gguf/header.h"

#include <string>
#include <vector>

namespace slmprof {

// Writes an outline of these tensors. It appears whole or not at all and has the real file's length.
// Throws std::system_error (no permission, a file longer than the file system allows, ...) and
// std::invalid_argument.
void write_outline(const std::string & path, const Metadata & metadata, const std::vector<TensorSpec> & tensors);

// Writes to `target` the outline of the file that llama-quantize would make of the model `source` (the
// first part of a split one) in this file type, requantizing what is quantized already. Reads headers
// only. Throws as write_outline() does, and ModelFailure where llama.cpp cannot load the source.
void retype_outline(const std::string & source, const std::string & target, const std::string & file_type);

} // namespace slmprof
