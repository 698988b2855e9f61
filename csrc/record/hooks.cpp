#include "record/hooks.h"

#include "record/device_hooks.h"
#include "record/recorder.h"

#include <pthread.h>

#include <stdexcept>

slmprof_thread *          slmprof_threads = nullptr;
__thread slmprof_thread * slmprof_own_slot = nullptr;

namespace slmprof {
namespace {

// Where the hooks lead; set before slmprof_threads.
Recorder * active_recorder = nullptr;

void switch_off() {
    __atomic_store_n(&slmprof_threads, static_cast<slmprof_thread *>(nullptr), __ATOMIC_RELEASE);
    active_recorder = nullptr;
}

// Who was recording when a child was forked goes on in the parent alone.
[[maybe_unused]] const bool is_off_in_children = pthread_atfork(nullptr, nullptr, switch_off) == 0;

}  // namespace

void Recorder::start(bool one_by_one) {
    if (active_recorder != nullptr && active_recorder != this) {
        throw std::logic_error("another recording is under way in this process");
    }
    // Graphs may have been rebuilt at known addresses while the hooks were off.
    graphs_.forget_addresses();
    schedule_.clear();
    one_by_one_     = one_by_one;
    active_recorder = this;
    __atomic_store_n(&slmprof_threads, cpu_.slots(), __ATOMIC_RELEASE);
}

void Recorder::stop() {
    if (active_recorder == this) {
        switch_off();
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

void slmprof_schedule_begin(void) { slmprof::active_recorder->schedule_begin(); }
void slmprof_schedule_split(ggml_cgraph * graph, ggml_backend_t backend) {
    slmprof::active_recorder->schedule_split(graph, backend);
}
bool slmprof_schedule_is_new(void) { return slmprof::active_recorder->schedule_is_new(); }
void slmprof_schedule_copy(const ggml_tensor * original, const ggml_tensor * copy) {
    slmprof::active_recorder->schedule_copy(original, copy);
}
void slmprof_schedule_end(void) { slmprof::active_recorder->schedule_end(); }

void slmprof_copy_begin(const ggml_tensor * tensor, ggml_backend_t source, ggml_backend_t target, const ggml_cgraph * graph) {
    slmprof::active_recorder->copy_begin(tensor, source, target, graph);
}

ggml_status slmprof_compute_split(ggml_backend_t backend, ggml_cgraph * graph) {
    const bool is_on = __atomic_load_n(&slmprof_threads, __ATOMIC_ACQUIRE) != nullptr;
    if (!is_on || slmprof::is_cpu(ggml_backend_get_device(backend))) {
        return ggml_backend_graph_compute_async(backend, graph);
    }
    return slmprof::active_recorder->compute_split(backend, graph);
}

void slmprof_synchronized(ggml_backend_t backend) { slmprof::active_recorder->synchronized(backend); }
void slmprof_read(ggml_backend_buffer_t buffer) { slmprof::active_recorder->read(buffer); }
void slmprof_read_async(ggml_backend_t backend) { slmprof::active_recorder->read_async(backend); }
void slmprof_node_begin(void) { slmprof::active_recorder->node_begin(); }
void slmprof_node_end(int node, uint32_t path) { slmprof::active_recorder->node_end(node, path); }

}  // extern "C"
