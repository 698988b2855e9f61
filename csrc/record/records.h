// What is recorded, as plain structs; the tables of docs/profile-format.md are made of them.

#pragma once

#include "record/columns.h"
#include "record/hot_path.h"

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

struct ggml_tensor;

namespace slmprof {

enum class Phase : uint8_t { prefill = 0, decode = 1 };
// In a split pass a graph runs as it would unobserved, and is recorded split by split; in an op pass, of which it
// is one otherwise, devices that tell nothing of their ops run them one by one.
enum class Pass : uint8_t { warmup = 0, timing = 1, op = 2, split = 3 };
// Whether all events are kept, the statistics of each op, or nothing of ops.
enum class EventMode : uint8_t { all = 0, aggregate = 1, none = 2 };
enum class LaneClock : uint8_t { host = 0 };

using OpEvent = slmprof_event;

// What tells the events of a run from those of the runs before and after it.
constexpr uint32_t run_tag(size_t run) { return static_cast<uint32_t>(run & 0xFF); }

// How many experts' matrices an op of a mixture of experts read.
struct RoutingRecord {
    uint32_t event;  // number of the event among those of the first thread
    uint32_t n_experts;
};

// What a mask lets through in one run.
struct MaskCount {
    int32_t run;
    int32_t mask;  // which of the graph's masks
    int64_t n_pairs, n_keys;
};

// Kinds of marks that are no segment: the recorder's own work, and the end of a step.
constexpr int32_t k_own_work = 100;
constexpr int32_t k_step_end = 101;

// Begin of a host segment, in ticks. `run` is the graph run that ends a launch, or -1.
struct SegmentMark {
    uint64_t ticks;
    int32_t  kind, run;
};

// One execution of a split of a graph.
struct RunRecord {
    int32_t  step, graph;
    int32_t  split;             // of the graph, counted from 0
    int32_t  first_node;        // of the split
    int32_t  lane;              // its first one; the others follow it
    int32_t  n_threads;
    Phase    phase;             // of its step, as is the next one
    int32_t  depth;
    uint64_t begin_ticks  = 0;  // 0: with its first event
    uint64_t end_ticks    = 0;
    int32_t  device       = -1; // of DeviceLanes; -1 where the CPU ran it
    size_t   first_event  = 0;  // of the device's, as is the next one
    size_t   n_events     = 0;
    int32_t  traced       = -1; // the tracer's number of it, where one traces the device
    bool     is_end_seen  = true;
    uint64_t empty_ticks  = 0;  // what an empty graph takes on a device that runs ops one by one
};

// One tensor on its way to the device of a split.
struct CopyRecord {
    int32_t             step, graph, split;
    const ggml_tensor * tensor;  // until the name is known
    int32_t             name;
    int32_t             from, to;  // devices' names
    int64_t             size_bytes;
    uint64_t            begin_ticks, end_ticks;
};

// Texts that columns refer to by number.
class StringTable {
  public:
    int32_t intern(const std::string & text) {
        const auto [entry, is_new] = numbers_.try_emplace(text, static_cast<int32_t>(texts_.size()));
        if (is_new) {
            texts_.push_back(text);
        }
        return entry->second;
    }

    const std::vector<std::string> & texts() const { return texts_; }

  private:
    std::unordered_map<std::string, int32_t> numbers_;
    std::vector<std::string>                 texts_;
};

// The columns mean what docs/profile-format.md says. Text columns hold numbers of a StringTable.

#define SLMPROF_STEP_COLUMNS(COLUMN, COLUMNS)                                \
    COLUMN(uint8_t, phase) COLUMN(uint8_t, pass)                             \
    COLUMN(int32_t, repeat) COLUMN(int32_t, index)                           \
    COLUMN(int32_t, depth) COLUMN(int32_t, n_tokens) COLUMN(int32_t, n_past) \
    COLUMN(int64_t, begin_ns) COLUMN(int64_t, end_ns)                        \
    COLUMN(int32_t, process)                                                 \
    COLUMN(int64_t, cpu_ns) COLUMN(int32_t, n_preempted)                     \
    COLUMN(uint8_t, set_apart)
SLMPROF_TABLE(StepColumns, SLMPROF_STEP_COLUMNS)

#define SLMPROF_SEGMENT_COLUMNS(COLUMN, COLUMNS) \
    COLUMN(int32_t, step) COLUMN(uint8_t, kind)  \
    COLUMN(int64_t, begin_ns) COLUMN(int64_t, end_ns)
SLMPROF_TABLE(SegmentColumns, SLMPROF_SEGMENT_COLUMNS)

#define SLMPROF_LANE_COLUMNS(COLUMN, COLUMNS)                            \
    COLUMN(int32_t, kind) COLUMN(int32_t, device) COLUMN(int32_t, index) \
    COLUMN(uint8_t, clock)
SLMPROF_TABLE(LaneColumns, SLMPROF_LANE_COLUMNS)

#define SLMPROF_RUN_COLUMNS(COLUMN, COLUMNS)         \
    COLUMN(int32_t, step) COLUMN(int32_t, graph)     \
    COLUMN(int32_t, split)                           \
    COLUMN(int32_t, lane) COLUMN(int32_t, n_threads) \
    COLUMN(int64_t, n_dropped)                       \
    COLUMN(int64_t, begin_ns) COLUMN(int64_t, end_ns) \
    COLUMN(uint8_t, is_end_seen) COLUMN(int64_t, empty_ns) \
    COLUMN(int64_t, gap_copy_ns) COLUMN(int64_t, gap_host_ns) COLUMN(int64_t, gap_launch_ns) \
    COLUMN(int64_t, gap_device_ns) COLUMN(int64_t, gap_unknown_ns)
SLMPROF_TABLE(RunColumns, SLMPROF_RUN_COLUMNS)

#define SLMPROF_COPY_COLUMNS(COLUMN, COLUMNS)         \
    COLUMN(int32_t, step) COLUMN(int32_t, split)      \
    COLUMN(int32_t, tensor)                           \
    COLUMN(int32_t, source) COLUMN(int32_t, target)   \
    COLUMN(int64_t, size_bytes)                       \
    COLUMN(int64_t, begin_ns) COLUMN(int64_t, end_ns)
SLMPROF_TABLE(CopyColumns, SLMPROF_COPY_COLUMNS)

#define SLMPROF_EVENT_COLUMNS(COLUMN, COLUMNS)                                      \
    COLUMN(int32_t, run) COLUMN(int32_t, node) COLUMN(uint16_t, n_fused)            \
    COLUMN(int32_t, lane) COLUMN(int32_t, path)                                     \
    COLUMN(int64_t, begin_ns) COLUMN(int64_t, end_ns)                               \
    COLUMN(int32_t, convert) COLUMN(int64_t, convert_ns) COLUMN(int64_t, resume_ns) \
    COLUMN(int32_t, n_experts)
SLMPROF_TABLE(EventColumns, SLMPROF_EVENT_COLUMNS)

// What a traced device ran, and how it was joined to ggml's nodes (cuda/activity.h, cuda/joiner.h).
#define SLMPROF_LAUNCH_COLUMNS(COLUMN, COLUMNS)                                          \
    COLUMN(int32_t, step) COLUMN(int32_t, run) COLUMN(int32_t, node)                     \
    COLUMN(uint16_t, n_fused) COLUMN(uint8_t, way) COLUMN(int32_t, name)                 \
    COLUMN(int32_t, trace) COLUMN(int32_t, issue)                                        \
    COLUMN(int64_t, begin_ns) COLUMN(int64_t, end_ns)                                    \
    COLUMN(uint32_t, device) COLUMN(uint32_t, stream)                                    \
    COLUMNS(int32_t, grid, 3) COLUMNS(int32_t, block, 3) COLUMN(int32_t, registers)      \
    COLUMN(int32_t, static_shared_bytes) COLUMN(int32_t, dynamic_shared_bytes)           \
    COLUMN(uint32_t, correlation) COLUMN(uint32_t, cuda_graph)                           \
    COLUMN(uint64_t, cuda_node) COLUMN(uint64_t, source_cuda_node)
SLMPROF_TABLE(LaunchColumns, SLMPROF_LAUNCH_COLUMNS)

#define SLMPROF_STRAY_COLUMNS(COLUMN, COLUMNS)                  \
    COLUMN(int32_t, step) COLUMN(int32_t, name)                 \
    COLUMN(int64_t, calls) COLUMN(int64_t, total_ns)
SLMPROF_TABLE(StrayColumns, SLMPROF_STRAY_COLUMNS)

// What a traced device copied and filled, by kind (cuda/activity.h).
#define SLMPROF_TRANSFER_COLUMNS(COLUMN, COLUMNS)               \
    COLUMN(int32_t, step) COLUMN(uint8_t, kind)                 \
    COLUMN(int64_t, calls) COLUMN(int64_t, n_joined)            \
    COLUMN(int64_t, size_bytes) COLUMN(int64_t, total_ns)
SLMPROF_TABLE(TransferColumns, SLMPROF_TRANSFER_COLUMNS)

// One row for each time that a traced device's records were collected.
#define SLMPROF_TRACE_COLUMNS(COLUMN, COLUMNS)                                           \
    COLUMN(int32_t, step) COLUMN(int64_t, kernel_ns) COLUMN(int64_t, joined_ns)          \
    COLUMN(int64_t, n_stray) COLUMN(int64_t, n_launched) COLUMN(int64_t, n_by_source)    \
    COLUMN(int64_t, n_by_node) COLUMN(int64_t, n_by_clone) COLUMN(int64_t, n_by_local)   \
    COLUMN(int64_t, n_by_order) COLUMN(int64_t, n_ordered) COLUMN(int64_t, n_misplaced)  \
    COLUMN(int64_t, n_misnamed) COLUMN(int64_t, n_unordered_replays)                     \
    COLUMN(int64_t, n_dropped) COLUMN(int64_t, n_untimed) COLUMN(int64_t, n_reversed)    \
    COLUMN(int64_t, n_broken) COLUMN(int64_t, clock_error_ns)
SLMPROF_TABLE(TraceColumns, SLMPROF_TRACE_COLUMNS)

// What the launches of one collection were joined by, so that they can be joined again.

#define SLMPROF_CAPTURE_COLUMNS(COLUMN, COLUMNS) COLUMN(int32_t, trace) COLUMN(uint32_t, cuda_graph)
SLMPROF_TABLE(CaptureColumns, SLMPROF_CAPTURE_COLUMNS)

#define SLMPROF_CAPTURED_NODE_COLUMNS(COLUMN, COLUMNS)                                   \
    COLUMN(int32_t, capture) COLUMN(int32_t, place) COLUMN(uint64_t, cuda_node)          \
    COLUMN(uint8_t, kind) COLUMN(int32_t, name)                                          \
    COLUMN(int32_t, node) COLUMN(uint16_t, n_fused)
SLMPROF_TABLE(CapturedNodeColumns, SLMPROF_CAPTURED_NODE_COLUMNS)

#define SLMPROF_CLONED_NODE_COLUMNS(COLUMN, COLUMNS) \
    COLUMN(int32_t, trace) COLUMN(uint64_t, cuda_node) COLUMN(uint64_t, original_cuda_node)
SLMPROF_TABLE(ClonedNodeColumns, SLMPROF_CLONED_NODE_COLUMNS)

#define SLMPROF_GRAPH_VERSION_COLUMNS(COLUMN, COLUMNS)  \
    COLUMN(int32_t, trace) COLUMN(uint32_t, cuda_graph) \
    COLUMN(int32_t, made_from) COLUMN(int32_t, updated_from)
SLMPROF_TABLE(GraphVersionColumns, SLMPROF_GRAPH_VERSION_COLUMNS)

#define SLMPROF_ISSUE_COLUMNS(COLUMN, COLUMNS)                       \
    COLUMN(int32_t, run) COLUMN(int32_t, node)                       \
    COLUMN(uint16_t, n_fused) COLUMN(int32_t, version)
SLMPROF_TABLE(IssueColumns, SLMPROF_ISSUE_COLUMNS)

#define SLMPROF_STAT_COLUMNS(COLUMN, COLUMNS)                                                     \
    COLUMN(uint8_t, phase) COLUMN(int32_t, depth)                                                 \
    COLUMN(int32_t, graph) COLUMN(int32_t, lane) COLUMN(int32_t, node)                            \
    COLUMN(uint16_t, n_fused)                                                                     \
    COLUMN(uint8_t, stage) COLUMN(int32_t, path)                                                  \
    COLUMN(int64_t, calls)                                                                        \
    COLUMN(int64_t, span_sum_ns) COLUMN(int64_t, span_min_ns) COLUMN(int64_t, span_max_ns)        \
    COLUMN(double, span_sq_sum)                                                                   \
    COLUMN(double, compute_sum_ns) COLUMN(double, compute_max_sum_ns) COLUMN(double, wait_sum_ns) \
    COLUMN(int64_t, n_experts_sum)
SLMPROF_TABLE(StatColumns, SLMPROF_STAT_COLUMNS)

#define SLMPROF_MASK_COLUMNS(COLUMN, COLUMNS)    \
    COLUMN(int32_t, run) COLUMN(int32_t, tensor) \
    COLUMN(int64_t, n_pairs) COLUMN(int64_t, n_keys)
SLMPROF_TABLE(MaskColumns, SLMPROF_MASK_COLUMNS)

#define SLMPROF_GRAPH_COLUMNS(COLUMN, COLUMNS) \
    COLUMN(uint64_t, hash)                     \
    COLUMN(int32_t, n_nodes) COLUMN(int32_t, backend)
SLMPROF_TABLE(GraphColumns, SLMPROF_GRAPH_COLUMNS)

#define SLMPROF_SPLIT_COLUMNS(COLUMN, COLUMNS)      \
    COLUMN(int32_t, graph) COLUMN(int32_t, device)  \
    COLUMN(int32_t, first_node) COLUMN(int32_t, n_nodes)
SLMPROF_TABLE(SplitColumns, SLMPROF_SPLIT_COLUMNS)

constexpr int k_n_dims    = 4;
constexpr int k_n_sources = 10;
constexpr int k_n_params  = 4;

#define SLMPROF_TENSOR_COLUMNS(COLUMN, COLUMNS)                                                \
    COLUMN(int32_t, graph) COLUMN(int32_t, node)                                               \
    COLUMN(int32_t, op) COLUMN(int32_t, op_detail) COLUMN(int32_t, name) COLUMN(int32_t, type) \
    COLUMN(int32_t, buffer_type) COLUMN(uint8_t, usage)                                        \
    COLUMN(int32_t, buffer) COLUMN(int64_t, offset_bytes)                                      \
    COLUMN(uint32_t, flags)                                                                    \
    COLUMN(int32_t, view_src) COLUMN(int64_t, view_offset)                                     \
    COLUMNS(int64_t, ne, k_n_dims) COLUMNS(int64_t, nb, k_n_dims)                              \
    COLUMNS(int32_t, src, k_n_sources)                                                         \
    COLUMN(int64_t, size_bytes)                                                                \
    COLUMNS(int32_t, param, k_n_params)
SLMPROF_TABLE(TensorColumns, SLMPROF_TENSOR_COLUMNS)

#define SLMPROF_TYPE_COLUMNS(COLUMN, COLUMNS)                                    \
    COLUMN(int32_t, name) COLUMN(int32_t, block_size) COLUMN(int32_t, type_size) \
    COLUMN(uint8_t, is_quantized) COLUMN(int32_t, number)
SLMPROF_TABLE(TypeColumns, SLMPROF_TYPE_COLUMNS)

// What is handed over at once: all that was recorded since the last time. Lanes, graphs, their splits and
// tensors, and types are there the first time only.
#define SLMPROF_TABLES(TABLE)                                                        \
    TABLE(StepColumns, steps) TABLE(SegmentColumns, segments)                        \
    TABLE(LaneColumns, lanes) TABLE(RunColumns, runs) TABLE(CopyColumns, copies)     \
    TABLE(EventColumns, events) TABLE(StatColumns, stats) TABLE(MaskColumns, masks)  \
    TABLE(LaunchColumns, launches) TABLE(StrayColumns, stray_kernels)                \
    TABLE(TransferColumns, transfers) TABLE(TraceColumns, traces)                    \
    TABLE(CaptureColumns, captures) TABLE(CapturedNodeColumns, captured_nodes)       \
    TABLE(ClonedNodeColumns, cloned_nodes)                                           \
    TABLE(GraphVersionColumns, graph_versions) TABLE(IssueColumns, issues)           \
    TABLE(GraphColumns, graphs) TABLE(SplitColumns, splits)                          \
    TABLE(TensorColumns, tensors) TABLE(TypeColumns, types)
#define SLMPROF_MEMBER(Table, name)      Table name;
#define SLMPROF_VISIT_TABLE(Table, name) visitor(#name, name);

struct Recording {
    SLMPROF_TABLES(SLMPROF_MEMBER)
    std::vector<std::string> strings;

    template <typename Visitor> void visit(const Visitor & visitor) { SLMPROF_TABLES(SLMPROF_VISIT_TABLE) }
    template <typename Visitor> void visit(const Visitor & visitor) const { SLMPROF_TABLES(SLMPROF_VISIT_TABLE) }
};

}  // namespace slmprof
