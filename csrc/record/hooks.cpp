#include "record/hooks.h"

#include "record/recorder.h"

#include <stdexcept>

slmprof_thread *          slmprof_threads = nullptr;
__thread slmprof_thread * slmprof_own_slot = nullptr;

namespace slmprof {
namespace {

// Where the hooks lead; set before slmprof_threads.
Recorder * active_recorder = nullptr;

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
    slmprof_own_slot = slmprof_threads;  // not that of a recorder long gone, should no op run before a barrier
    slmprof::active_recorder->run_begin(graph, n_threads);
}

void slmprof_run_end(void) { slmprof::active_recorder->run_end(); }

void slmprof_route(int thread, const ggml_tensor * experts) {
    if (thread == 0) {
        slmprof::active_recorder->note_experts(slmprof::count_experts(experts));
    }
}

void slmprof_enter_segment(int kind) { slmprof::active_recorder->enter_segment(kind); }

}  // extern "C"
