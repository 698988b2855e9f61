// What llama-quantize would make of a model, as an outline.

#pragma once

#include <string>

namespace slmprof {

// Writes to `target` the outline of the file that llama-quantize would make of the model `source` (the
// first part of a split one) in this file type, requantizing what is quantized already. Reads headers
// only. Throws as write_outline() does, std::invalid_argument, and ModelFailure where llama.cpp cannot
// load the source.
void retype_outline(const std::string & source, const std::string & target, const std::string & file_type);

} // namespace slmprof
