#include "cuda/record_reader.h"

#include <cxxabi.h>

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace slmprof {
namespace {

// A version of a record adds to the end of the one before, so a library of any version from CUDA 12.0 on
// writes at least these.
using BaseKernel = CUpti_ActivityKernel9;
using BaseCopy   = CUpti_ActivityMemcpy5;
using PeerCopy   = CUpti_ActivityMemcpyPtoP4;
using BaseFill   = CUpti_ActivityMemset4;

// With what a replayed node was last updated from, where headers and library have it.
#if SLMPROF_CUPTI_TELLS_SOURCES
using SourceKernel = CUpti_ActivityKernel13;
using SourceCopy   = CUpti_ActivityMemcpy7;
using SourceFill   = CUpti_ActivityMemset5;

static_assert(offsetof(SourceKernel, graphId) == offsetof(BaseKernel, graphId));
static_assert(offsetof(SourceKernel, localMemoryTotal_v2) == offsetof(BaseKernel, localMemoryTotal_v2));
static_assert(offsetof(SourceCopy, graphId) == offsetof(BaseCopy, graphId));
static_assert(offsetof(SourceFill, graphId) == offsetof(BaseFill, graphId));

template <typename Record> uint64_t source_of(const CUpti_Activity & record, const CuptiApi & api) {
    return api.version >= 130400 ? reinterpret_cast<const Record &>(record).sourceGraphNodeId : 0;
}
#    define SLMPROF_SOURCE_OF(Record) source_of<Record>(record, api_)
#else
#    define SLMPROF_SOURCE_OF(Record) 0
#endif

CopyKind kind_of(uint8_t cupti_kind) {
    switch (cupti_kind) {
        case CUPTI_ACTIVITY_MEMCPY_KIND_HTOD: return CopyKind::host_to_device;
        case CUPTI_ACTIVITY_MEMCPY_KIND_DTOH: return CopyKind::device_to_host;
        case CUPTI_ACTIVITY_MEMCPY_KIND_DTOD: return CopyKind::device_to_device;
        case CUPTI_ACTIVITY_MEMCPY_KIND_HTOH: return CopyKind::host_to_host;
        case CUPTI_ACTIVITY_MEMCPY_KIND_PTOP: return CopyKind::peer_to_peer;
        default:                              return CopyKind::other;
    }
}

// What copies of all kinds have.
template <typename From> DeviceCopyRecord copy_of(const From & from, CopyKind kind) {
    DeviceCopyRecord copy;
    copy.kind        = static_cast<uint8_t>(kind);
    copy.size_bytes  = from.bytes;
    copy.begin_ns    = static_cast<int64_t>(from.start);
    copy.end_ns      = static_cast<int64_t>(from.end);
    copy.device      = from.deviceId;
    copy.context     = from.contextId;
    copy.stream      = from.streamId;
    copy.peer        = from.deviceId;
    copy.correlation = from.correlationId;
    copy.graph       = from.graphId;
    copy.graph_node  = from.graphNodeId;
    return copy;
}

}  // namespace

std::string demangled(const char * name) {
    int                                          status = 0;
    const std::unique_ptr<char, void (*)(void *)> text(abi::__cxa_demangle(name, nullptr, nullptr, &status), std::free);
    return text != nullptr ? text.get() : name;
}

void RecordReader::read(uint8_t * buffer, size_t used_bytes) {
    CUpti_Activity * record = nullptr;
    while (true) {
        const CUptiResult result = api_.cuptiActivityGetNextRecord(buffer, used_bytes, &record);
        if (result == CUPTI_SUCCESS) {
            read_record(*record);
            continue;
        }
        if (result != CUPTI_ERROR_MAX_LIMIT_REACHED) {  // which is the end
            activity_.counts.n_broken++;
        }
        return;
    }
}

void RecordReader::read_record(const CUpti_Activity & record) {
    switch (record.kind) {
        case CUPTI_ACTIVITY_KIND_KERNEL:
        case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:    return read_kernel(record);
        case CUPTI_ACTIVITY_KIND_MEMCPY:               return read_copy(record);
        case CUPTI_ACTIVITY_KIND_MEMCPY2:              return read_peer_copy(record);
        case CUPTI_ACTIVITY_KIND_MEMSET:               return read_fill(record);
        case CUPTI_ACTIVITY_KIND_RUNTIME:              return read_call(record, false);
        case CUPTI_ACTIVITY_KIND_DRIVER:               return read_call(record, true);
        case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION: return read_external(record);
        case CUPTI_ACTIVITY_KIND_GRAPH_TRACE:          return;  // asked for only to see what it costs
        default:                                       activity_.counts.n_unread++;
    }
}

void RecordReader::read_kernel(const CUpti_Activity & record) {
    const auto & from = reinterpret_cast<const BaseKernel &>(record);
    KernelRecord kernel;
    kernel.name                 = number_of(from.name);
    kernel.begin_ns             = static_cast<int64_t>(from.start);
    kernel.end_ns               = static_cast<int64_t>(from.end);
    kernel.device               = from.deviceId;
    kernel.context              = from.contextId;
    kernel.stream               = from.streamId;
    kernel.correlation          = from.correlationId;
    kernel.graph                = from.graphId;
    kernel.graph_node           = from.graphNodeId;
    kernel.source_graph_node    = SLMPROF_SOURCE_OF(SourceKernel);
    kernel.grid                 = { from.gridX, from.gridY, from.gridZ };
    kernel.block                = { from.blockX, from.blockY, from.blockZ };
    kernel.registers            = from.registersPerThread;
    kernel.static_shared_bytes  = from.staticSharedMemory;
    kernel.dynamic_shared_bytes = from.dynamicSharedMemory;
    kernel.local_bytes          = from.localMemoryPerThread;
    activity_.add(kernel);
}

void RecordReader::read_copy(const CUpti_Activity & record) {
    const auto & from      = reinterpret_cast<const BaseCopy &>(record);
    DeviceCopyRecord   copy      = copy_of(from, kind_of(from.copyKind));
    copy.source_graph_node = SLMPROF_SOURCE_OF(SourceCopy);
    activity_.add(copy);
}

void RecordReader::read_peer_copy(const CUpti_Activity & record) {
    const auto & from = reinterpret_cast<const PeerCopy &>(record);
    DeviceCopyRecord   copy = copy_of(from, CopyKind::peer_to_peer);
    copy.device       = from.srcDeviceId;
    copy.peer         = from.dstDeviceId;
    activity_.add(copy);
}

void RecordReader::read_fill(const CUpti_Activity & record) {
    const auto & from      = reinterpret_cast<const BaseFill &>(record);
    DeviceCopyRecord   copy      = copy_of(from, CopyKind::fill);
    copy.source_graph_node = SLMPROF_SOURCE_OF(SourceFill);
    activity_.add(copy);
}

void RecordReader::read_call(const CUpti_Activity & record, bool is_driver) {
    const auto & from = reinterpret_cast<const CUpti_ActivityAPI &>(record);
    CallRecord   call;
    call.is_driver   = is_driver ? 1 : 0;
    call.code        = from.cbid;
    call.thread      = from.threadId;
    call.begin_ns    = static_cast<int64_t>(from.start);
    call.end_ns      = static_cast<int64_t>(from.end);
    call.correlation = from.correlationId;
    activity_.calls.push_back(call);
}

void RecordReader::read_external(const CUpti_Activity & record) {
    const auto & from = reinterpret_cast<const CUpti_ActivityExternalCorrelation &>(record);
    if (from.externalKind == k_external_kind) {
        activity_.externals.push_back({ from.correlationId, from.externalId });
    }
}

int32_t RecordReader::number_of(const char * name) {
    const auto [entry, is_new] = names_.try_emplace(name, -1);
    if (is_new) {
        entry->second = strings_.intern(name != nullptr ? demangled(name) : "?");
    }
    return entry->second;
}

}  // namespace slmprof
