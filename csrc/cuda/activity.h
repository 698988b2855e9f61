// What CUPTI's activity records say of a device, without CUPTI: what is joined to ggml's nodes, and what a
// profile may keep to be joined again. Times are nanoseconds on CUPTI's clock; names are numbers of a
// StringTable; 0 is no graph and no node.

#pragma once

#include "record/columns.h"

#include <cstdint>
#include <vector>

namespace slmprof {

// The two halves of a node's id: the graph that it is in, and the number that this graph gave it.
constexpr uint32_t graph_half(uint64_t graph_node) { return static_cast<uint32_t>(graph_node >> 32); }
constexpr uint32_t local_half(uint64_t graph_node) { return static_cast<uint32_t>(graph_node); }
constexpr uint64_t node_id(uint32_t graph, uint32_t local) { return static_cast<uint64_t>(graph) << 32 | local; }

enum class CopyKind : uint8_t {
    other = 0,
    host_to_device,
    device_to_host,
    device_to_device,
    peer_to_peer,
    host_to_host,
    fill,  // a memset
};

// The source node is the one that an executable graph's node was made or last updated from; CUPTI tells it
// from 13.4 on.
#define SLMPROF_DEVICE_KERNEL_COLUMNS(COLUMN, COLUMNS)                                                           \
    COLUMN(int32_t, name) COLUMN(int64_t, begin_ns) COLUMN(int64_t, end_ns)                               \
    COLUMN(uint32_t, device) COLUMN(uint32_t, context) COLUMN(uint32_t, stream)                           \
    COLUMN(uint32_t, correlation)                                                                         \
    COLUMN(uint32_t, graph) COLUMN(uint64_t, graph_node) COLUMN(uint64_t, source_graph_node)              \
    COLUMNS(int32_t, grid, 3) COLUMNS(int32_t, block, 3)                                                  \
    COLUMN(uint16_t, registers)                                                                           \
    COLUMN(int32_t, static_shared_bytes) COLUMN(int32_t, dynamic_shared_bytes) COLUMN(uint32_t, local_bytes)
SLMPROF_TABLE(DeviceKernelColumns, SLMPROF_DEVICE_KERNEL_COLUMNS)

// A copy between two devices is listed with the one that it comes from, and goes to `peer`.
#define SLMPROF_DEVICE_COPY_COLUMNS(COLUMN, COLUMNS)                                                             \
    COLUMN(uint8_t, kind) COLUMN(uint64_t, size_bytes) COLUMN(int64_t, begin_ns) COLUMN(int64_t, end_ns)  \
    COLUMN(uint32_t, device) COLUMN(uint32_t, context) COLUMN(uint32_t, stream) COLUMN(uint32_t, peer)    \
    COLUMN(uint32_t, correlation)                                                                         \
    COLUMN(uint32_t, graph) COLUMN(uint64_t, graph_node) COLUMN(uint64_t, source_graph_node)
SLMPROF_TABLE(DeviceCopyColumns, SLMPROF_DEVICE_COPY_COLUMNS)

// A call of CUDA's runtime or driver by the host. What it put on a device has its correlation.
#define SLMPROF_CALL_COLUMNS(COLUMN, COLUMNS)                                                             \
    COLUMN(uint8_t, is_driver) COLUMN(uint32_t, code) COLUMN(uint32_t, thread)                            \
    COLUMN(int64_t, begin_ns) COLUMN(int64_t, end_ns) COLUMN(uint32_t, correlation)
SLMPROF_TABLE(CallColumns, SLMPROF_CALL_COLUMNS)

using KernelRecord = DeviceKernelColumns::Row;
using DeviceCopyRecord   = DeviceCopyColumns::Row;
using CallRecord   = CallColumns::Row;

// The call was made while the issue with this id was open (IssueLog).
struct ExternalCorrelation {
    uint32_t correlation;
    uint64_t issue;
};

// What the records do not say.
struct ActivityCounts {
    int64_t n_dropped  = 0;  // records that CUPTI had no room for
    int64_t n_untimed  = 0;  // kernels and copies without both timestamps: counted, joined, of no time
    int64_t n_reversed = 0;  // that end before they begin: treated likewise
    int64_t n_unread   = 0;  // records of a kind that nobody asked for
    int64_t n_broken   = 0;  // buffers that could not be read to their end
};

struct Activity {
    std::vector<KernelRecord>        kernels;
    std::vector<DeviceCopyRecord>          copies;
    std::vector<CallRecord>          calls;
    std::vector<ExternalCorrelation> externals;
    ActivityCounts                   counts;

    // Takes a record in, counting what is wrong with its times, which are then both 0.
    void add(KernelRecord kernel) { kernels.push_back(timed(kernel)); }
    void add(DeviceCopyRecord copy) { copies.push_back(timed(copy)); }

  private:
    template <typename Record> Record timed(Record record) {
        const bool is_untimed  = record.begin_ns == 0 || record.end_ns == 0;
        const bool is_reversed = !is_untimed && record.end_ns < record.begin_ns;
        counts.n_untimed += is_untimed ? 1 : 0;
        counts.n_reversed += is_reversed ? 1 : 0;
        if (is_untimed || is_reversed) {
            record.begin_ns = record.end_ns = 0;
        }
        return record;
    }
};

template <typename Record> int64_t duration_ns(const Record & record) { return record.end_ns - record.begin_ns; }

}  // namespace slmprof
