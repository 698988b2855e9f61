// The hooks in instrumented ggml-cuda, and what they lead to. While nothing observes, each hook is one load,
// one test and one branch that is never taken.

#pragma once

#include <atomic>

struct ggml_cgraph;

namespace slmprof {

class DeviceObserver {
  public:
    DeviceObserver()                                   = default;
    DeviceObserver(const DeviceObserver &)             = delete;
    DeviceObserver & operator=(const DeviceObserver &) = delete;
    virtual ~DeviceObserver() { ignore(); }

    // A backend evaluates a graph: by launching its nodes, by capturing them, or by neither, where it only
    // replays what it has captured.
    virtual void begin_run(ggml_cgraph * graph, int device, bool is_captured) = 0;
    virtual void end_run()                                                    = 0;

    // The node at this place is issued; then how many of those that follow were issued with it.
    virtual void begin_issue(int node)  = 0;
    virtual void end_issue(int n_fused) = 0;

    // An executable CUDA graph is launched, which was made or last updated from `captured`.
    virtual void begin_replay(void * executable, void * captured) = 0;
    virtual void end_replay()                                     = 0;

    // Lets the hooks lead here, or no longer. Throws std::logic_error while they lead elsewhere.
    void observe();
    void ignore();

    // Where the hooks lead; null while nothing observes.
    static DeviceObserver * active() { return active_.load(std::memory_order_acquire); }

  private:
    static std::atomic<DeviceObserver *> active_;
};

}  // namespace slmprof

#define SLMPROF_IF_OBSERVED(call)                                                               \
    do {                                                                                        \
        slmprof::DeviceObserver * const slmprof_observer = slmprof::DeviceObserver::active();   \
        if (__builtin_expect(slmprof_observer != nullptr, 0)) {                                 \
            slmprof_observer->call;                                                             \
        }                                                                                       \
    } while (0)

#define SLMPROF_DEVICE_RUN_BEGIN(graph, device, is_captured) SLMPROF_IF_OBSERVED(begin_run(graph, device, is_captured))
#define SLMPROF_DEVICE_RUN_END()                             SLMPROF_IF_OBSERVED(end_run())
#define SLMPROF_ISSUE_BEGIN(node)                            SLMPROF_IF_OBSERVED(begin_issue(node))
#define SLMPROF_ISSUE_END(n_fused)                           SLMPROF_IF_OBSERVED(end_issue(n_fused))
#define SLMPROF_REPLAY_BEGIN(executable, captured)           SLMPROF_IF_OBSERVED(begin_replay(executable, captured))
#define SLMPROF_REPLAY_END()                                 SLMPROF_IF_OBSERVED(end_replay())
