// The recorder behind the hooks: per-thread, preallocated, append-only, and it counts what it had
// to drop. One recorder is active in the process at a time.

#pragma once

#include "record/clock.h"
#include "record/graph.h"
#include "record/hooks.h"
#include "record/records.h"
#include "memory/residency.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

// What the hot path of one thread reads and writes, on cache lines of its own.
struct alignas(128) slmprof_thread {
    // The op that runs or has just run. It becomes an event when the thread arrives at its barrier.
    slmprof::OpEvent op{};
    bool             is_last = false;  // its end is the next op's begin
    // It has run and is no event yet. The collecting thread reads it too: it may pass the last
    // barrier before another thread has written down when it arrived there.
    std::atomic<bool> is_pending{ false };

    slmprof::OpEvent * next      = nullptr;
    slmprof::OpEvent * end       = nullptr;
    uint64_t           n_dropped = 0;
    uint32_t           run       = 0;      // tag of the run whose ops begin now
    bool               is_alone  = false;  // the graph runs on one thread
    bool               is_exact  = false;  // the clock is read in order, and at each resumption
    bool               resumes   = false;  // it waits at a barrier within an op

    slmprof::OpEvent * first = nullptr;
    std::unique_ptr<slmprof::OpEvent[]> events;

    // Of the first thread: what few ops have to tell beside their times.
    std::vector<slmprof::RoutingRecord> routings;

    void note_experts(uint32_t n_experts) {
        if (routings.size() < routings.capacity()) {
            routings.push_back({ static_cast<uint32_t>(next - first), n_experts });
        }
    }

    uint64_t read_clock() const {
        return __builtin_expect(is_exact, 0) ? slmprof::read_ticks_in_order() : slmprof::read_ticks();
    }

    // Ends the op and appends it to the buffer.
    void finish(uint64_t end_ticks, bool is_last_thread) {
        op.end_ticks = end_ticks;
        is_last      = is_last_thread;
        if (__builtin_expect(next != end, 1)) {
            *next++ = op;
        } else {
            n_dropped++;
        }
        is_pending.store(false, std::memory_order_release);
    }
};

namespace slmprof {

enum class EventMode : uint8_t { all = 0, aggregate = 1 };

// What an op pass left, as columns.
struct Recording {
    SegmentColumns segments;
    RunColumns     runs;
    EventColumns   events;  // EventMode::all
    StatColumns    stats;   // EventMode::aggregate
    MaskColumns    masks;
};

class Recorder {
  public:
    // Room for `capacity` events on each of `n_threads` threads between two collections. An exact
    // clock is read when all before it is done, and also when a thread goes on within an op.
    Recorder(int n_threads, size_t capacity, bool is_exact);
    ~Recorder();
    Recorder(const Recorder &)             = delete;
    Recorder & operator=(const Recorder &) = delete;

    // Makes room for at least `capacity` events on each thread. Only while nothing is recorded.
    void reserve(size_t capacity);

    // Hooks on and off. Throws std::logic_error while another recorder is active.
    void start();
    void stop();

    // Around one step; `step` is the row that its records refer to, `depth` what its repeat began at.
    void step_begin(int32_t step, Phase phase, int32_t depth);
    void step_end();

    // In place of step_end where the step failed: as if it had not begun.
    void abandon_step();

    // True when one more step like the largest so far may not fit: collect before it begins.
    bool is_nearly_full() const;

    // Finds out which graphs the step ran, after its time has been taken.
    void resolve_graphs();

    // Turns what was recorded into columns and empties the buffers. Not to be called within a step.
    void collect(EventMode mode, Recording & recording);

    // Empties the buffers.
    void discard();

    // Its buffers, and the columns of what was collected.
    std::vector<AddressRange> memory(const Recording & collected) const;

    GraphRegistry & graphs() { return graphs_; }
    StringTable &   strings() { return strings_; }

    // Called by the hooks.
    void run_begin(ggml_cgraph * graph, int n_threads);
    void run_end();
    void enter_segment(int kind);

  private:
    // One op of one run over all threads, while a run is being reduced.
    struct OpKey {
        uint8_t  phase;
        uint8_t  stage;
        uint16_t n_fused;
        int32_t  depth;
        int32_t  graph;
        int32_t  node;
        int32_t  path;
        bool operator==(const OpKey & other) const {
            return phase == other.phase && stage == other.stage && n_fused == other.n_fused && depth == other.depth &&
                   graph == other.graph && node == other.node && path == other.path;
        }
    };

    // Times of one op or of its conversion over all threads, in nanoseconds.
    struct OpTimes {
        int64_t span    = 0;
        double  compute = 0;
        double  slowest = 0;
        double  wait    = 0;
    };

    // What the run's step was.
    struct RunStep {
        Phase   phase;
        int32_t depth;
    };
    struct OpKeyHash {
        size_t operator()(const OpKey & key) const {
            uint64_t h = (static_cast<uint64_t>(key.path) << 32) ^ static_cast<uint32_t>(key.node);
            h ^= (static_cast<uint64_t>(key.graph) << 20) ^ (static_cast<uint64_t>(key.n_fused) << 8) ^
                 (static_cast<uint64_t>(key.stage) << 4) ^ key.phase;
            h ^= static_cast<uint64_t>(static_cast<uint32_t>(key.depth)) << 40;
            h *= 0x9E3779B97F4A7C15ULL;
            return static_cast<size_t>(h ^ (h >> 31));
        }
    };

    void    await_pending();
    void    mark(uint64_t ticks, int32_t kind, int32_t run);
    int32_t path_text(uint32_t code);
    int32_t conversion_text(uint32_t code);
    void    add_stat(StatColumns & stats, const OpKey & key, const OpTimes & times, uint32_t n_experts);
    void    collect_masks(Recording & recording, int32_t first_row);
    void    collect_segments(Recording & recording, const std::vector<uint64_t> & run_begin_ticks);
    void    collect_run(EventMode mode, Recording & recording, const RunRecord & run, int64_t end_ns,
                        const std::vector<std::pair<const OpEvent *, const OpEvent *>> & ranges,
                        const RoutingRecord *& routing);

    std::vector<slmprof_thread> threads_;
    std::vector<RunRecord>   runs_;
    std::vector<SegmentMark> marks_;
    std::vector<std::pair<int32_t, size_t>> step_marks_;  // step, its first mark
    int32_t                  step_        = -1;
    RunStep                  run_step_    = { Phase::prefill, 0 };
    std::vector<RunStep>     run_steps_;
    std::vector<MaskCount>   mask_counts_;
    std::vector<uint8_t>     seen_keys_;
    std::vector<std::pair<size_t, ggml_cgraph *>> unresolved_;  // run, its graph
    std::vector<size_t>      n_events_at_step_;  // by thread
    size_t                   n_runs_at_step_   = 0;
    size_t                   largest_step_     = 0;
    size_t                   largest_marks_    = 0;
    std::unordered_map<uint32_t, int32_t>       path_texts_, conversion_texts_;
    std::unordered_map<OpKey, size_t, OpKeyHash> stat_rows_;
    StringTable              strings_;
    GraphRegistry            graphs_;
};

}  // namespace slmprof
