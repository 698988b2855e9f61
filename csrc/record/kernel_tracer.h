// What tells the recorder of the kernels that devices ran, in terms of ggml's graphs and on the host's
// clock. The recorder knows neither CUDA nor its profiling library.

#pragma once

#include "record/places.h"
#include "record/records.h"

#include <array>
#include <cstdint>
#include <vector>

struct ggml_backend_device;

namespace slmprof {

// What is collected of devices. Graphs and their nodes exclude each other.
enum class TraceLevel : uint8_t {
    none = 0,  // nothing; graphs are still followed
    graphs,    // a replay as a whole, which is only there to see what it costs
    nodes,     // each kernel, copy and fill, replayed or not
};

// What happens on a device while no kernel runs.
enum class GapKind : uint8_t {
    copy = 0,  // the device copies or fills memory
    host,      // the host has not begun to launch the next kernel, or there is none
    launch,    // it is about to: the call was under way, or had not returned when the gap began
    device,    // the launch had returned before: the device itself takes its time from kernel to kernel
    unknown,   // the call that launched the next kernel is not on record
};
constexpr int k_n_gap_kinds = 5;

// A run of a split on a device, as the host saw it.
struct HostRun {
    int32_t number;           // the tracer's (KernelTracer::last_run)
    int32_t graph;            // ggml's
    int64_t begin_ns, end_ns; // when it was told to run, and when its end was seen
    bool    is_end_seen;
};

struct NodeKernel {
    int32_t  node;     // of the split, the first of those that it computes
    uint16_t n_fused;  // how many following ones it computes as well
    int32_t  name;
    int64_t  begin_ns, end_ns;
};

struct RunActivity {
    int64_t                            begin_ns = 0, end_ns = 0;
    std::array<int64_t, k_n_gap_kinds> gap_ns{};  // by kind; with the kernels they fill the run
    std::vector<NodeKernel>            kernels;   // in the order of their begin, within the run
};

// What records were joined by, so that they can be joined again: only what they lead to. Rows refer to each other
// by number; which collection they are of is the recorder's to say.
struct JoinInputs {
    CaptureColumns      captures;
    CapturedNodeColumns captured_nodes;
    ClonedNodeColumns   cloned_nodes;
    GraphVersionColumns graph_versions;
    IssueColumns        issues;  // `run` is that of `launches`
};

struct DeviceActivity {
    std::vector<RunActivity> runs;     // as they were asked for
    TraceColumns::Row        summary;  // without the step
    StrayColumns             strays;   // likewise, as the next one
    TransferColumns          transfers;
    LaunchColumns            launches;  // all of them; `run` counts the runs that were asked for
    JoinInputs               inputs;    // of the launches
};

class KernelTracer {
  public:
    virtual ~KernelTracer() = default;

    virtual bool traces(ggml_backend_device * device) const = 0;

    // Only while all devices are idle, as are the next ones. Throws EngineFailure.
    virtual void trace(TraceLevel level) = 0;

    // The number of the run that a traced device was told last.
    virtual int32_t last_run() const = 0;

    // Whether to collect before the next step begins.
    virtual bool is_nearly_full() const = 0;

    // What the devices did since the last time; the runs in their order. Whatever belongs to other runs is
    // left out. Throws EngineFailure.
    virtual DeviceActivity collect(const std::vector<HostRun> & runs, bool keeps_kernels) = 0;

    // Lets go of it instead.
    virtual void forget() = 0;

    // Collects nothing from here on, and lets go of what is left.
    virtual void stop() noexcept = 0;

    // Its buffers.
    virtual std::vector<AddressRange> memory() const = 0;
};

}  // namespace slmprof
