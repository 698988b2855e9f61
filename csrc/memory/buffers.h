// Memory by buffer and by tensor, as records. `kind` is one of weights, kv_cache, recurrent_state,
// compute, output and work, the buffer of ggml's threads.

#pragma once

#include "record/records.h"

struct ggml_backend_buffer_type;

namespace slmprof {

// All buffers of a kind and type together.
struct BufferRecord {
    std::string device, buffer_type, kind;
    uint64_t    size_bytes = 0;
};

// One allocation.
struct RealBuffer : BufferRecord {
    const void * base = nullptr;  // null where another device holds it, which has addresses of its own
};

// One row a tensor that has a place as long as its model or context lives; see _core.pyi.
#define SLMPROF_PLACE_COLUMNS(COLUMN, COLUMNS)                                                      \
    COLUMN(std::string, name) COLUMN(std::string, type) COLUMN(std::string, kind)                   \
    COLUMN(std::string, device) COLUMN(std::string, buffer_type)                                    \
    COLUMN(int32_t, layer)                                                                          \
    COLUMNS(int64_t, ne, k_n_dims) COLUMN(int64_t, size_bytes)                                      \
    COLUMN(int32_t, buffer) COLUMN(int64_t, offset_bytes)                                           \
    COLUMN(int32_t, file) COLUMN(int64_t, file_offset_bytes)                                        \
    COLUMN(int64_t, n_cells) COLUMN(int64_t, n_streams) COLUMN(int64_t, n_swa) COLUMN(int32_t, cache)
SLMPROF_TABLE(PlaceColumns, SLMPROF_PLACE_COLUMNS)

// Summed by device, type and kind, in the order of the kinds above; nothing of 0 bytes.
std::vector<BufferRecord> merge_buffers(const std::vector<BufferRecord> & records);
std::vector<BufferRecord> merge_buffers(const std::vector<RealBuffer> & buffers);

// Name of the device in whose memory buffers of a type lie: of one that a GPU can reach in the host's it is the CPU.
std::string device_of(ggml_backend_buffer_type * type);

}  // namespace slmprof
