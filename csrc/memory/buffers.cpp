#include "memory/buffers.h"

#include "ggml-backend.h"
#include "record/cpu_lanes.h"

#include <algorithm>
#include <array>
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
    // What belongs to no device lies in the host's memory, too.
    return device != nullptr && !ggml_backend_buft_is_host(type) ? ggml_backend_dev_name(device) : cpu_device_name();
}

std::vector<BufferRecord> merge_buffers(const std::vector<BufferRecord> & records) {
    std::map<std::tuple<size_t, std::string, std::string>, BufferRecord> merged;
    for (const BufferRecord & record : records) {
        const auto [sum, is_new] = merged.try_emplace({ order_of(record.kind), record.device, record.buffer_type }, record);
        sum->second.size_bytes += is_new ? 0 : record.size_bytes;
    }
    std::vector<BufferRecord> rows;
    for (const auto & [key, sum] : merged) {
        if (sum.size_bytes > 0) {
            rows.push_back(sum);
        }
    }
    return rows;
}

std::vector<BufferRecord> merge_buffers(const std::vector<RealBuffer> & buffers) {
    return merge_buffers(std::vector<BufferRecord>(buffers.begin(), buffers.end()));
}

}  // namespace slmprof
