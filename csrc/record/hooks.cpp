#include "record/hooks.h"

#include "record/device_hooks.h"
#include "record/recorder.h"

#include <pthread.h>

#include <atomic>
#include <stdexcept>

slmprof_thread *          slmprof_threads = nullptr;
__thread slmprof_thread * slmprof_own_slot = nullptr;

namespace slmprof {
namespace {

// Where the hooks lead; set before slmprof_threads.
std::atomic<Recorder *> active_recorder{ nullptr };

// The address of one tells threads apart. The thread that started a recording is the one that computes; another may load a
// model meanwhile, or make a context, and see the hooks on.
thread_local char         this_thread = 0;
std::atomic<const char *> recorded_thread{ nullptr };

void switch_off() {
    __atomic_store_n(&slmprof_threads, static_cast<slmprof_thread *>(nullptr), __ATOMIC_RELEASE);
    recorded_thread = nullptr;
    active_recorder = nullptr;
}

bool is_recorded() { return recorded_thread == &this_thread; }

// Hands a hook on to the recorder, in the thread that it records.
template <typename... Parameters, typename... Arguments>
void hand_on(void (Recorder::*note)(Parameters...), Arguments... arguments) {
    if (is_recorded()) {
        (active_recorder.load()->*note)(arguments...);
    }
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
    recorded_thread = &this_thread;
    __atomic_store_n(&slmprof_threads, cpu_.slots(), __ATOMIC_RELEASE);
}

void Recorder::stop() {
    if (active_recorder == this) {
        switch_off();
    }
}

}  // namespace slmprof

using slmprof::hand_on;
using slmprof::Recorder;

extern "C" {

void slmprof_run_begin(ggml_cgraph * graph, int n_threads) {
    slmprof_own_slot = slmprof_threads;  // not that of a recorder long gone, should no op run before a barrier
    hand_on(&Recorder::run_begin, graph, n_threads);
}

void slmprof_run_end(void) { hand_on(&Recorder::run_end); }

void slmprof_route(int thread, const ggml_tensor * experts) {
    if (thread == 0) {
        hand_on(&Recorder::note_experts, slmprof::count_experts(experts));
    }
}

void slmprof_enter_segment(int kind) { hand_on(&Recorder::enter_segment, kind); }

void slmprof_schedule_begin(void) { hand_on(&Recorder::schedule_begin); }
void slmprof_schedule_split(ggml_cgraph * graph, ggml_backend_t backend) { hand_on(&Recorder::schedule_split, graph, backend); }
bool slmprof_schedule_is_new(void) { return slmprof::is_recorded() && slmprof::active_recorder.load()->schedule_is_new(); }
void slmprof_schedule_copy(const ggml_tensor * original, const ggml_tensor * copy) {
    hand_on(&Recorder::schedule_copy, original, copy);
}
void slmprof_schedule_end(void) { hand_on(&Recorder::schedule_end); }

void slmprof_copy_begin(const ggml_tensor * tensor, ggml_backend_t source, ggml_backend_t target, const ggml_cgraph * graph) {
    hand_on(&Recorder::copy_begin, tensor, source, target, graph);
}

ggml_status slmprof_compute_split(ggml_backend_t backend, ggml_cgraph * graph) {
    if (!slmprof::is_recorded() || slmprof::is_cpu(ggml_backend_get_device(backend))) {
        return ggml_backend_graph_compute_async(backend, graph);
    }
    return slmprof::active_recorder.load()->compute_split(backend, graph);
}

void slmprof_synchronized(ggml_backend_t backend) { hand_on(&Recorder::synchronized, backend); }
void slmprof_read(ggml_backend_buffer_t buffer) { hand_on(&Recorder::read, buffer); }
void slmprof_read_async(ggml_backend_t backend) { hand_on(&Recorder::read_async, backend); }
void slmprof_node_begin(void) { hand_on(&Recorder::node_begin); }
void slmprof_node_end(int node, uint32_t path) { hand_on(&Recorder::node_end, node, path); }

}  // extern "C"
