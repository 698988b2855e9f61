// Runs by script: the hooks are called as the threads of ggml's pool call them, at the times that the
// script says. One thread plays all of them, one after the other.

#pragma once

#include "record/recorder.h"

#include <cstdint>
#include <memory>

struct ggml_cgraph;
struct ggml_context;

namespace slmprof::test {

// Sets the clock's scale; its zero stays.
void set_ns_per_tick(double ns_per_tick);

// A graph of one product, without data. Its tensors' names begin with `name`.
class Graph {
  public:
    explicit Graph(const char * name, int64_t n_tokens = 4);
    ggml_cgraph * get() const { return graph_; }

  private:
    std::unique_ptr<ggml_context, void (*)(ggml_context *)> context_;
    ggml_cgraph *                                           graph_;
};

struct Op {
    int      lane = 0, node = 0, n_fused = 0;
    uint32_t path  = 0;
    uint64_t begin = 0, end = 0;  // in ticks, as are the next two; 0: not at all
    bool     is_last = false;     // the last one at its barriers
    uint64_t convert = 0, resume = 0;
    uint32_t n_experts = 0;
};

// One thread executes an op of the run that has begun.
void play(const Op & op, int n_threads);

// A step of one run of `graph`, from `begin` until `end`.
void begin_run(Recorder & recorder, const Graph & graph, int n_threads, uint64_t begin, Phase phase = Phase::decode,
               int32_t depth = 0);
void end_run(Recorder & recorder, uint64_t end, Phase phase = Phase::decode, int32_t depth = 0);

// Plays a script twice, keeping all events and their statistics, and prints both as JSON.
int print_reductions();

}  // namespace slmprof::test
