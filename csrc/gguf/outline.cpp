#include "gguf/outline.h"

#include "gguf/atomic_file.h"

namespace slmprof {

void write_outline(const std::string & path, const GgufHeader & header) {
    AtomicFile file(path);
    file.resize(header.file_bytes);
    file.write_at(header.bytes.data(), header.bytes.size(), 0);
    file.commit();
}

} // namespace slmprof
