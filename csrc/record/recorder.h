// The recorder behind the hooks. One recorder is active in the process at a time.

#pragma once

#include "record/cpu_lanes.h"
#include "record/device_lanes.h"
#include "record/disturbance.h"
#include "record/graph.h"
#include "record/hooks.h"
#include "record/kernel_tracer.h"
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
    void reserve(size_t capacity);

    // Who tells of the kernels of devices; null while nobody does. It must outlive this. Only while nothing is recorded.
    void set_tracer(KernelTracer * tracer) {
        tracer_ = tracer;
        devices_.set_tracer(tracer);
    }

    // The texts that columns refer to.
    StringTable & strings() { return strings_; }

    // Hooks on and off. A device that tells nothing of its ops runs them one by one, or its splits as it would
    // unobserved. Throws std::logic_error while another recorder is active.
    void start(bool one_by_one = true);
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

    // Of devices that ran ops one by one in it, what an empty graph takes there; after resolve_graphs.
    void time_empty_graphs();

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
    void schedule_begin();
    void schedule_split(ggml_cgraph * graph, ggml_backend_t backend) { schedule_.add_split(graph, backend); }
    bool schedule_is_new() const { return graphs_.find_known(schedule_) < 0; }
    void schedule_copy(const ggml_tensor * original, const ggml_tensor * copy) { schedule_.add_copy(original, copy); }
    void schedule_end();
    void copy_begin(const ggml_tensor * tensor, ggml_backend_t source, ggml_backend_t target, const ggml_cgraph * graph);
    ggml_status compute_split(ggml_backend_t backend, ggml_cgraph * graph);
    void        synchronized(ggml_backend_t backend);
    void        read(ggml_backend_buffer_t buffer);
    void        read_async(ggml_backend_t backend);
    void        node_begin();
    void        node_end(int node, uint32_t path);

  private:
    void mark(uint64_t ticks, int32_t kind, int32_t run);
    void count_masks();
    RunRecord & add_run(const ggml_cgraph * graph);
    void end_pending(DeviceLane & lane, uint64_t ticks);
    void lose_pending(DeviceLane & lane);
    ggml_status compute_one_by_one(DeviceLane & lane, ggml_backend_t backend, ggml_cgraph * graph, RunRecord & run);
    int32_t name_of(ggml_backend_t backend);
    void collect_run(const RunRecord & run, int64_t begin_ns, const RunActivity * traced, int64_t n_dropped);
    void collect_events(const RunEvents & run, RoutingCursor & routing);
    DeviceActivity collect_traced(EventMode mode);
    void collect_inputs(const JoinInputs & inputs, int32_t trace, const std::vector<int32_t> & run_rows);
    void collect_kernels(const RunRecord & run, const RunActivity & traced, EventMode mode);
    void collect_copies();
    void collect_masks(int32_t first_row);
    void collect_segments(const std::vector<uint64_t> & run_begin_ticks);

    StringTable              strings_;
    PathTexts                texts_;
    GraphRegistry            graphs_;
    Reducer                  reducer_;
    Recording                recording_;
    CpuLanes                 cpu_;
    DeviceLanes              devices_;
    KernelTracer *           tracer_ = nullptr;
    Schedule                 schedule_;
    StepLimit                limit_;
    int32_t                  cpu_lane_;    // the first of them in the table of lanes
    int32_t                  cpu_device_;  // its name
    std::vector<RunRecord>   runs_;
    std::vector<SegmentMark> marks_;
    std::vector<std::pair<int32_t, size_t>>       step_marks_;  // step, its first mark
    std::vector<MaskCount>                        mask_counts_;
    std::vector<uint8_t>                          seen_keys_;
    std::vector<CopyRecord>                       copies_;
    std::vector<size_t>                           unresolved_;  // runs of the schedule
    size_t                                        n_named_copies_ = 0;
    std::vector<uint32_t>                         node_paths_;  // of the run that is being collected
    Phase                    phase_          = Phase::prefill;  // of the step, as is the next one
    int32_t                  depth_          = 0;
    size_t                   n_runs_at_step_ = 0, n_copies_at_step_ = 0;
    size_t                   largest_marks_  = 0;
    int64_t                  n_dropped_      = 0;  // runs and copies without room
    bool                     one_by_one_     = true;
    bool                     copies_now_     = false;  // the last copy ends with the next mark
    int32_t                  device_now_     = -1;     // that computes a split within a call
};

}  // namespace slmprof
