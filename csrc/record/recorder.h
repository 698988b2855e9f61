// The recorder behind the hooks. One recorder is active in the process at a time.

#pragma once

#include "record/cpu_lanes.h"
#include "record/disturbance.h"
#include "record/graph.h"
#include "record/hooks.h"
#include "record/reduction.h"

#include <utility>
#include <vector>

namespace slmprof {

class Recorder {
  public:
    // Room for `capacity` events on each of `n_threads` threads between two collections. An exact
    // clock is read when all before it is done, and also when a thread goes on within an op.
    Recorder(int n_threads, size_t capacity, bool is_exact);
    ~Recorder();
    Recorder(const Recorder &)             = delete;
    Recorder & operator=(const Recorder &) = delete;

    // Makes room for at least `capacity` events on each thread. Only while nothing is recorded.
    void reserve(size_t capacity) { cpu_.reserve(capacity); }

    // Hooks on and off. Throws std::logic_error while another recorder is active.
    void start();
    void stop();

    // Around one step while the hooks are on; its records refer to the row that add_step makes next.
    void step_begin(Phase phase, int32_t depth);
    void step_end();

    // In place of step_end where the step failed: as if it had not begun.
    void abandon_step();

    // A step that is done, whether the hooks were on or off. Says itself which are to be set apart.
    void add_step(StepColumns::Row step);

    // True when one more step like the largest so far may not fit: collect before it begins.
    bool is_nearly_full() const;

    // Finds out which graphs the step ran, after its time has been taken.
    void resolve_graphs();

    // Turns what was recorded into columns and empties the buffers. Not to be called within a step.
    void collect(EventMode mode);

    // Empties the buffers.
    void discard();

    // What was collected since the last call.
    Recording take();

    // Its buffers, and the columns of what was collected.
    std::vector<AddressRange> memory() const;

    // Called by the hooks.
    void run_begin(ggml_cgraph * graph, int n_threads);
    void note_experts(uint32_t n_experts) { cpu_.note_experts(n_experts); }
    void run_end();
    void enter_segment(int kind);

  private:
    void mark(uint64_t ticks, int32_t kind, int32_t run);
    void collect_events(const RunEvents & run, RoutingCursor & routing);
    void collect_masks(int32_t first_row);
    void collect_segments(const std::vector<uint64_t> & run_begin_ticks);

    StringTable              strings_;
    PathTexts                texts_;
    GraphRegistry            graphs_;
    Reducer                  reducer_;
    Recording                recording_;
    CpuLanes                 cpu_;
    StepLimit                limit_;
    int32_t                  cpu_lane_;    // the first of them in the table of lanes
    int32_t                  cpu_device_;  // its name
    std::vector<RunRecord>   runs_;
    std::vector<SegmentMark> marks_;
    std::vector<std::pair<int32_t, size_t>>       step_marks_;  // step, its first mark
    std::vector<MaskCount>                        mask_counts_;
    std::vector<uint8_t>                          seen_keys_;
    std::vector<std::pair<size_t, ggml_cgraph *>> unresolved_;  // run, its graph
    std::vector<uint32_t>                         node_paths_;  // of the run that is being collected
    Phase                    phase_          = Phase::prefill;  // of the step, as is the next one
    int32_t                  depth_          = 0;
    size_t                   n_runs_at_step_ = 0;
    size_t                   largest_marks_  = 0;
};

}  // namespace slmprof
