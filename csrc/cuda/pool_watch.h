// What ggml-cuda's pools hold, and which op needed the most of them. Beside its buffers ggml-cuda keeps a pool for each
// device and stream, from which kernels get what they need for a moment (converted weights and activations, sorted
// rows, partial results), and a workspace for each of cuBLAS's handles. No plan knows of either: they grow while ops
// run, and are given back with the context.

#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace slmprof {

// What a device's pools and workspaces held. The texts are empty where no op was being issued.
struct PoolUse {
    int32_t     device          = 0;
    uint64_t    reserved_bytes  = 0, most_reserved_bytes = 0;  // taken from the device
    uint64_t    used_bytes      = 0, most_used_bytes     = 0;  // of that, handed out to ops
    std::string op, tensor;                                    // which op raised the most that was handed out
    uint64_t    workspace_bytes = 0;                           // of cuBLAS
};

class PoolWatch {
  public:
    // Writes down what a node is.
    using Describe = void (*)(const void * node, std::string & op, std::string & tensor);

    PoolWatch()                             = default;
    PoolWatch(const PoolWatch &)             = delete;
    PoolWatch & operator=(const PoolWatch &) = delete;
    ~PoolWatch() { ignore(); }

    // Lets the hooks lead here, or no longer. Throws std::logic_error while they lead elsewhere.
    void observe();
    void ignore();

    // Where the hooks lead; null while nothing watches.
    static PoolWatch * active() { return active_.load(std::memory_order_acquire); }

    // From here on a node is issued, or a fused group that begins with it: what is taken is for that one. Then, at the
    // end of a graph, none. Graphs are issued one at a time in a process, so that neither takes the lock.
    void begin_node(const void * node, Describe describe) {
        describe_.store(describe, std::memory_order_relaxed);
        node_.store(node, std::memory_order_relaxed);
    }
    void end_graph() { node_.store(nullptr, std::memory_order_relaxed); }

    // A pool holds so much from now on, hands out some of it, and gets it back. What a pool handed out before it was
    // watched is not known: it never counts as less than nothing.
    void reserve(const void * pool, int32_t device, uint64_t size_bytes);
    void take(const void * pool, int32_t device, uint64_t size_bytes);
    void give(const void * pool, int32_t device, uint64_t size_bytes);

    // A context's workspaces on a device have so much in all; 0 when it ends.
    void set_workspaces(const void * context, int32_t device, uint64_t size_bytes);

    // By device. Devices of which nothing was told are absent.
    std::vector<PoolUse> uses() const;

  private:
    struct Held {
        int32_t  device = 0;
        uint64_t reserved_bytes = 0, used_bytes = 0;
    };

    Held &    held(const void * pool, int32_t device);
    PoolUse & use(int32_t device);

    static std::atomic<PoolWatch *> active_;

    std::atomic<const void *> node_{ nullptr };
    std::atomic<Describe>     describe_{ nullptr };

    mutable std::mutex                                     mutex_;
    std::map<const void *, Held>                           pools_;
    std::map<std::pair<const void *, int32_t>, uint64_t>   workspaces_;
    std::map<int32_t, PoolUse>                             uses_;
};

}  // namespace slmprof
