// Memory by buffer and by tensor, as records. `kind` is one of weights, kv_cache, recurrent_state,
// compute, output and work, the buffer of ggml's threads.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

struct ggml_backend_buffer_type;

namespace slmprof {

// All buffers of a kind and type together.
struct BufferRecord {
    std::string device;
    std::string buffer_type;
    std::string kind;
    uint64_t    size_bytes = 0;
};

// One allocation.
struct RealBuffer {
    const void * base = nullptr;
    uint64_t     size_bytes = 0;
    std::string  device;
    std::string  buffer_type;
    std::string  kind;
};

// One row a tensor that has a place as long as its model or context lives; see _core.pyi.
struct PlaceColumns {
    std::vector<std::string> name, type, kind, device, buffer_type;
    std::vector<int32_t>     layer, buffer, file, cache;
    std::vector<int64_t>     ne[4];
    std::vector<int64_t>     size_bytes, offset_bytes, file_offset_bytes, n_cells, n_streams, n_swa;
};

// Summed by device, type and kind, in the order of the kinds above; nothing of 0 bytes.
std::vector<BufferRecord> merge_buffers(const std::vector<BufferRecord> & records);
std::vector<BufferRecord> merge_buffers(const std::vector<RealBuffer> & buffers);

// Name of the device that a buffer type belongs to.
std::string device_of(ggml_backend_buffer_type * type);

}  // namespace slmprof
