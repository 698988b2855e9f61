#include "memory/buffers.h"

#include "ggml-backend.h"
#include "record/cpu_lanes.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <tuple>

namespace slmprof {

namespace {

constexpr std::array<const char *, 6> k_kinds = { "weights", "kv_cache", "recurrent_state", "compute", "output", "work" };

size_t order_of(const std::string & kind) {
    return static_cast<size_t>(std::distance(k_kinds.begin(), std::find(k_kinds.begin(), k_kinds.end(), kind)));
}

}  // namespace

std::string device_of(ggml_backend_buffer_type * type) {
    ggml_backend_dev_t device = ggml_backend_buft_get_device(type);
    // What belongs to no device lies in the host's memory.
    return device != nullptr ? ggml_backend_dev_name(device) : cpu_device_name();
}

std::vector<BufferRecord> merge_buffers(const std::vector<BufferRecord> & records) {
    std::map<std::tuple<size_t, std::string, std::string>, BufferRecord> merged;
    for (const BufferRecord & record : records) {
        BufferRecord & sum = merged[{ order_of(record.kind), record.device, record.buffer_type }];
        sum.device      = record.device;
        sum.buffer_type = record.buffer_type;
        sum.kind        = record.kind;
        sum.size_bytes += record.size_bytes;
    }
    std::vector<BufferRecord> rows;
    for (auto & [key, sum] : merged) {
        if (sum.size_bytes > 0) {
            rows.push_back(std::move(sum));
        }
    }
    return rows;
}

std::vector<BufferRecord> merge_buffers(const std::vector<RealBuffer> & buffers) {
    std::vector<BufferRecord> records;
    for (const RealBuffer & buffer : buffers) {
        records.push_back({ buffer.device, buffer.buffer_type, buffer.kind, buffer.size_bytes });
    }
    return merge_buffers(records);
}

}  // namespace slmprof
