#include "record/hooks.h"

#include "record/recorder.h"

#include <algorithm>
#include <stdexcept>

slmprof_thread * slmprof_threads = nullptr;

namespace slmprof {
namespace {

// Where the hooks lead; set before slmprof_threads.
Recorder * active_recorder = nullptr;

// The slot of this thread, for the barrier, which does not know the thread's number.
__attribute__((tls_model("initial-exec"))) thread_local slmprof_thread * own_slot = nullptr;

// More than the value that means that a conversion is under way; an op does not last long enough for
// the upper limit.
uint32_t ticks_since(uint64_t now, uint64_t begin) {
    return static_cast<uint32_t>(std::clamp<uint64_t>(now - begin, k_converting + 1, UINT32_MAX));
}

}  // namespace

void Recorder::start() {
    if (active_recorder != nullptr && active_recorder != this) {
        throw std::logic_error("another recording is under way in this process");
    }
    // Graphs may have been rebuilt at known addresses while the hooks were off.
    graphs_.forget_addresses();
    active_recorder = this;
    __atomic_store_n(&slmprof_threads, cpu_.slots(), __ATOMIC_RELEASE);
}

void Recorder::stop() {
    if (active_recorder == this) {
        __atomic_store_n(&slmprof_threads, static_cast<slmprof_thread *>(nullptr), __ATOMIC_RELEASE);
        active_recorder = nullptr;
    }
}

}  // namespace slmprof

extern "C" {

void slmprof_run_begin(ggml_cgraph * graph, int n_threads) {
    slmprof::own_slot = slmprof_threads;  // not that of a recorder long gone, should no op run before a barrier
    slmprof::active_recorder->run_begin(graph, n_threads);
}

void slmprof_run_end(void) { slmprof::active_recorder->run_end(); }

void slmprof_op_begin(slmprof_thread * threads, int thread) {
    slmprof_thread & own = threads[thread];
    // What the thread does between two graphs is no part of an op.
    const bool follows = own.is_last && own.op.run() == own.run;
    slmprof::own_slot     = &own;
    own.op.path           = 0;
    own.op.convert_ticks  = 0;
    own.op.resume_ticks   = 0;
    own.op.begin_ticks    = follows ? own.op.end_ticks : own.read_clock();
}

void slmprof_op_end(slmprof_thread * threads, int thread, int node, int n_fused, int barrier_tells) {
    slmprof_thread & own = threads[thread];
    own.op.set_place(static_cast<uint32_t>(node), static_cast<uint32_t>(n_fused), own.run);
    if (barrier_tells != 0) {
        own.is_pending.store(true, std::memory_order_relaxed);
    } else {
        // One thread alone goes from op to op without a wait; OpenMP's barrier cannot tell.
        own.finish(own.read_clock(), own.is_alone);
    }
    // An event is written at the barrier, or after the next op; its line can be on its way until then.
    __builtin_prefetch(own.next, 1);
}

void slmprof_arrive(int is_last) {
    slmprof_thread * own = slmprof::own_slot;
    if (own == nullptr) {
        return;
    }
    if (own->is_pending.load(std::memory_order_relaxed)) {
        own->finish(own->read_clock(), is_last != 0);
    } else if (own->op.convert_ticks == slmprof::k_converting) {
        // A barrier within the op, which ends the conversion of a product's activations.
        own->op.convert_ticks = slmprof::ticks_since(own->read_clock(), own->op.begin_ticks);
        own->resumes          = own->is_exact && is_last == 0;
        if (own->is_exact && is_last != 0) {
            own->op.resume_ticks = own->op.convert_ticks;
        }
    }
}

void slmprof_resume(slmprof_thread * threads, int thread) {
    slmprof_thread & own = threads[thread];
    if (own.resumes) {
        own.resumes         = false;
        own.op.resume_ticks = slmprof::ticks_since(own.read_clock(), own.op.begin_ticks);
    }
}

void slmprof_convert(slmprof_thread * threads, int thread) { threads[thread].op.convert_ticks = slmprof::k_converting; }

void slmprof_route(slmprof_thread * threads, int thread, const ggml_tensor * experts) {
    if (thread == 0) {
        threads[0].note_experts(slmprof::count_experts(experts));
    }
}

void slmprof_set_path(slmprof_thread * threads, int thread, uint32_t code, int only_if_unknown) {
    slmprof_thread & own = threads[thread];
    if (only_if_unknown == 0 || own.op.path == 0) {
        own.op.path = code;
    }
}

void slmprof_enter_segment(int kind) { slmprof::active_recorder->enter_segment(kind); }

}  // extern "C"
