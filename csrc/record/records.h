// What is recorded, as plain structs; the tables of docs/profile-format.md are made of them.

#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace slmprof {

enum class Phase : uint8_t { prefill = 0, decode = 1 };

enum class Pass : uint8_t { warmup = 0, timing = 1, op = 2 };

// One op on one thread, in ticks; written in the hot path.
struct OpEvent {
    uint64_t begin_ticks;
    uint64_t end_ticks;
    uint32_t path;  // path code, see hooks.h
    // From the begin until the thread had converted its share of a product's activations; 0 where
    // there is nothing to convert, k_converting while it does.
    uint32_t convert_ticks;
    // From the begin until it went on behind the barrier after that; 0 where that was not read.
    uint32_t resume_ticks;
    uint32_t place;

    uint32_t node() const { return place & 0xFFFFF; }  // position of the (first) node in the graph
    uint32_t n_fused() const { return place >> 20 & 0xF; }
    uint32_t run() const { return place >> 24; }  // as run_tag makes it
    void     set_place(uint32_t node, uint32_t n_fused, uint32_t run) { place = node | n_fused << 20 | run << 24; }
};
static_assert(sizeof(OpEvent) == 32);

// What tells the events of a run from those of the runs before and after it.
constexpr uint32_t run_tag(size_t run) {
    return static_cast<uint32_t>(run & 0xFF);
}

constexpr uint32_t k_converting = 1;

// How many experts' matrices an op of a mixture of experts read.
struct RoutingRecord {
    uint32_t event;  // number of the event among those of thread 0
    uint32_t n_experts;
};

// What a mask lets through in one run.
struct MaskCount {
    int32_t run;
    int32_t mask;  // which of the graph's masks
    int64_t n_pairs, n_keys;
};

// Begin of a host segment, in ticks. `run` is the graph run that ends a launch, or -1.
struct SegmentMark {
    uint64_t ticks;
    int32_t  kind;
    int32_t  run;
};

// One execution of a graph.
struct RunRecord {
    int32_t  step;
    int32_t  graph;
    int32_t  n_threads;
    uint64_t end_ticks;
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

struct StepColumns {
    std::vector<uint8_t> phase, pass;
    std::vector<int32_t> repeat, index, depth, n_tokens, n_past;
    std::vector<int64_t> begin_ns, end_ns;
};

struct SegmentColumns {
    std::vector<int32_t> step;
    std::vector<uint8_t> kind;
    std::vector<int64_t> begin_ns, end_ns;
};

struct RunColumns {
    std::vector<int32_t> step, graph, n_threads;
    std::vector<int64_t> n_dropped, begin_ns, end_ns;
};

struct EventColumns {
    std::vector<int32_t>  run, node, path, convert, n_experts;
    std::vector<uint16_t> n_fused, thread;
    std::vector<int64_t>  begin_ns, end_ns, convert_ns, resume_ns;
};

struct StatColumns {
    std::vector<uint8_t>  phase, stage;
    std::vector<int32_t>  depth, graph, node, path;
    std::vector<uint16_t> n_fused;
    std::vector<int64_t>  calls, span_sum_ns, span_min_ns, span_max_ns, n_experts_sum;
    std::vector<double>   span_sq_sum, compute_sum_ns, compute_max_sum_ns, wait_sum_ns;
};

struct MaskColumns {
    std::vector<int32_t> run, tensor;
    std::vector<int64_t> n_pairs, n_keys;
};

struct GraphColumns {
    std::vector<uint64_t> hash;
    std::vector<int32_t>  n_nodes, backend;
};

constexpr int k_n_dims    = 4;
constexpr int k_n_sources = 10;
constexpr int k_n_params  = 4;

struct TensorColumns {
    std::vector<int32_t>  graph, node, op, op_detail, name, type, buffer_type, buffer, view_src;
    std::vector<uint8_t>  usage;
    std::vector<uint32_t> flags;
    std::vector<int64_t>  offset_bytes, view_offset, size_bytes;
    std::vector<int64_t>  ne[k_n_dims], nb[k_n_dims];
    std::vector<int32_t>  src[k_n_sources];
    std::vector<int32_t>  param[k_n_params];
};

}  // namespace slmprof
