#include "script.h"

#include "ggml.h"
#include "record/clock.h"
#include "record/hooks.h"

// ggml was compiled with the real clock.
extern "C" const bool slmprof_has_ticks = true;

namespace slmprof {

namespace {

TickScale scale;
uint64_t  step_begin = 0;

}  // namespace

const TickScale & tick_scale() {
    return scale;
}

namespace test {

void set_ns_per_tick(double ns_per_tick) {
    scale.ns_per_tick = ns_per_tick;
}

Graph::Graph(const char * name, int64_t n_tokens) :
    context_(ggml_init({ 1 << 20, nullptr, true }), ggml_free),
    graph_(ggml_new_graph(context_.get())) {
    ggml_tensor * weight = ggml_new_tensor_2d(context_.get(), GGML_TYPE_F32, 8, 16);
    ggml_tensor * input  = ggml_new_tensor_2d(context_.get(), GGML_TYPE_F32, 8, n_tokens);
    ggml_tensor * output = ggml_mul_mat(context_.get(), weight, input);
    ggml_format_name(weight, "%s.weight", name);
    ggml_format_name(output, "%s.output", name);
    ggml_build_forward_expand(graph_, output);
}

void play(const Op & op, int n_threads) {
    fake_ticks = op.begin;
    slmprof_op_begin(slmprof_threads, op.lane);
    if (op.path != 0) {
        slmprof_set_path(slmprof_threads, op.lane, op.path, 0);
    }
    if (op.n_experts > 0) {
        ggml_tensor experts{};
        experts.ne[0] = op.n_experts;
        experts.ne[1] = 1;
        slmprof_route(op.lane, &experts);
    }
    if (op.convert > 0) {
        slmprof_convert(slmprof_threads, op.lane);
        fake_ticks = op.convert;
        slmprof_arrive(op.is_last);
        if (op.resume > 0) {
            fake_ticks = op.resume;
            slmprof_resume(slmprof_threads, op.lane);
        }
    }
    // One thread alone has no barrier that tells: the op ends at once.
    fake_ticks = op.end;
    slmprof_op_end(slmprof_threads, op.lane, op.node, op.n_fused, n_threads > 1);
    slmprof_arrive(op.is_last);
}

void begin_run(Recorder & recorder, const Graph & graph, int n_threads, uint64_t begin, Phase phase, int32_t depth) {
    fake_ticks = step_begin = begin;
    recorder.start();
    recorder.step_begin(phase, depth);
    slmprof_run_begin(graph.get(), n_threads);
}

void end_run(Recorder & recorder, uint64_t end, Phase phase, int32_t depth) {
    fake_ticks = end;
    slmprof_run_end();
    recorder.step_end();
    recorder.resolve_graphs();
    recorder.stop();
    StepColumns::Row step;
    step.phase = static_cast<uint8_t>(phase);
    step.pass  = static_cast<uint8_t>(Pass::op);
    step.depth = depth;
    step.begin_ns = scale.to_ns(step_begin);
    step.end_ns   = scale.to_ns(end);
    recorder.add_step(step);
}

}  // namespace test

}  // namespace slmprof
