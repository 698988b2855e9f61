// What a model is loaded and a context made with.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace slmprof {

class KernelScheme;

struct EngineSettings {
    std::string path;
    uint32_t    n_ctx      = 2048;
    uint32_t    n_batch    = 2048;
    uint32_t    n_ubatch   = 512;
    int32_t     n_threads  = 1;
    int32_t     flash_attn = -1;  // -1 auto, 0 off, 1 on
    std::string type_k     = "f16";
    std::string type_v     = "f16";
    uint32_t    n_seq_max     = 1;
    uint32_t    n_outputs_max = 0;      // of a ubatch; 0: as many as a batch has tokens
    bool        swa_full      = false;  // sliding-window caches as large as the others; false as in llama-bench
    bool        use_mmap   = true;
    bool        use_repack = true;
    // Where layers may go beside the CPU, by ggml's names of devices, and how many of them (-1: all).
    std::vector<std::string> devices;  // or rpc:HOST:PORT
    int32_t                  n_gpu_layers = 0;
    int32_t                  split_mode   = 1;  // of several devices: 0 one of them, 1 by layers, 2 by rows
    std::vector<float>       tensor_split;      // how much of the model each of them gets; empty: by their free memory
    // Let ggml-cuda replay graphs that it has captured. The first engine of a process decides.
    bool                     cuda_graphs = true;
    // Where CUPTI may be, beside what the process has loaded and where the loader looks: files, or folders with it.
    std::vector<std::string> cupti_folders;
    // Pairs of a regular expression over tensor names and a buffer type's name.
    std::vector<std::pair<std::string, std::string>> tensor_overrides;
    // Whose weights the model's file may hold.
    std::shared_ptr<const KernelScheme> scheme;
    // How the peer observes: an eval callback that asks for every node. Only for the overhead
    // benchmark, which compares it with the hooks.
    bool observe_by_callback = false;
    // Let a GraphObserver see tensors while graphs are computed.
    bool can_observe = false;
    // Read the clock between two ops when the first one is wholly done, and within products when a
    // thread goes on.
    bool exact_clock = false;
    // Room for events on each thread between two collections; 0 means as much as a step may need.
    uint64_t event_capacity = 0;
};

}  // namespace slmprof
