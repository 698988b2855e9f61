// CUPTI at work for one process: it learns of CUDA graphs from the first one on, collects records while it
// is asked to, and joins them to what ggml-cuda's hooks tell. Needs CUPTI's headers.

#pragma once

#include "cuda/activity_buffers.h"
#include "cuda/clock_alignment.h"
#include "cuda/cupti_api.h"
#include "cuda/device_observer.h"
#include "cuda/joiner.h"
#include "record/kernel_tracer.h"
#include "record/records.h"

#include <atomic>
#include <thread>
#include <vector>

namespace slmprof {

// A run that has begun since the last collection, for whoever knows ggml's graphs.
struct ObservedRun {
    int32_t       run;
    ggml_cgraph * graph;
    int           device;
};

class CuptiSession : public DeviceObserver {
  public:
    // `api` and `strings` must outlive it.
    CuptiSession(const CuptiApi & api, StringTable & strings, size_t n_buffers = 32, size_t buffer_bytes = 4 << 20);
    ~CuptiSession() override;

    // Must come before the first graph is captured, since nobody can say later what its nodes are. Throws
    // CuptiFailure and leaves nothing behind.
    void attach();
    void detach();

    // Only between steps, with the devices idle; likewise.
    void trace(TraceLevel level);

    // CUPTI's clock beside the host's, the best of some tries.
    ClockReading read_clocks() const;

    const std::vector<ObservedRun> & runs() const { return runs_; }
    int32_t                          last_run() const { return issues_.last_run(); }
    void                             set_graph(int32_t run, int32_t graph);

    // Whether to collect before the next step begins.
    bool is_nearly_full() const { return buffers_.is_nearly_full(); }

    std::vector<AddressRange> memory() const { return buffers_.memory(); }

    // What was recorded since the last time, when all devices are idle.
    Activity read();
    // Joins it, and forgets the runs; `keeps_inputs` of the join, which can be made but once here.
    Joined join_and_forget(const Activity & activity, bool keeps_inputs = false);

    // Callbacks for graphs whose ids CUPTI would not tell.
    int64_t n_unidentified() const { return n_unidentified_; }

    // Called by the hooks, on the thread that runs ggml.
    void begin_run(ggml_cgraph * graph, int device, bool is_captured) override;
    void end_run() override;
    void begin_issue(int node) override;
    void end_issue(int n_fused) override;
    void begin_replay(void * executable, void * captured) override;
    void end_replay() override;

  private:
    static void CUPTIAPI request_buffer(uint8_t ** buffer, size_t * size_bytes, size_t * n_records);
    static void CUPTIAPI complete_buffer(CUcontext context, uint32_t stream, uint8_t * buffer, size_t size_bytes,
                                         size_t used_bytes);
    static void CUPTIAPI call_back(void * session, CUpti_CallbackDomain domain, CUpti_CallbackId id, const void * data);

    void     enable(TraceLevel level);
    void     disable(TraceLevel level);
    void     set_launch_callbacks(bool is_on);
    void     follow(CUpti_CallbackId id, const CUpti_GraphData & data);
    void     name_launch(const CUpti_CallbackData & data);
    void     count_dropped(CUcontext context, uint32_t stream);
    void     push(uint64_t issue);
    void     pop();
    uint64_t id_of(CUgraphNode node);
    uint32_t id_of(CUgraph graph);
    uint32_t id_of(CUgraphExec exec);

    const CuptiApi &         api_;
    StringTable &            strings_;
    ActivityBuffers          buffers_;
    IssueLog                 issues_;
    GraphNodes               nodes_;
    std::vector<ObservedRun> runs_;

    CUpti_SubscriberHandle       subscriber_    = nullptr;
    TraceLevel                   level_         = TraceLevel::none;
    bool                         is_capturing_  = false;
    bool                         has_callbacks_ = false;  // of launches, while a graph is captured
    bool                         is_pushed_     = false;
    std::atomic<std::thread::id> thread_{};  // that runs ggml; what others capture is not ggml's
    int64_t                      n_unidentified_ = 0;
};

}  // namespace slmprof
