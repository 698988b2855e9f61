// Outlines: GGUF files whose header and table of tensors are those of the real file and whose data is
// a hole. llama.cpp plans memory on them as on the real file; on disk they take as much as the header.

#pragma once

#include "gguf/header.h"

namespace slmprof {

// Writes the outline of what this header belongs to. It appears whole or not at all and has the real file's
// length. Throws std::system_error (no permission, a file longer than the file system allows, ...).
void write_outline(const std::string & path, const GgufHeader & header);

} // namespace slmprof
