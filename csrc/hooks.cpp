#include "hooks.h"

#include "recorder.h"

#include <map>
#include <mutex>
#include <stdexcept>

uint32_t slmprof_recording = 0;

namespace slmprof {

namespace {

// Where the hooks lead; set before slmprof_recording becomes 1.
Recorder * active_recorder = nullptr;

std::mutex                                             output_buffers_mutex;
std::map<const void *, std::pair<std::string, size_t>> output_buffers;

}  // namespace

void Recorder::start() {
    if (active_recorder != nullptr && active_recorder != this) {
        throw std::logic_error("another recording is under way in this process");
    }
    // Graphs may have been rebuilt at known addresses while the hooks were off.
    graphs_.forget_addresses();
    active_recorder   = this;
    slmprof_recording = 1;
}

void Recorder::stop() {
    if (active_recorder == this) {
        slmprof_recording = 0;
        active_recorder   = nullptr;
    }
}

std::pair<std::string, size_t> output_buffer_of(const void * context) {
    const std::lock_guard<std::mutex> lock(output_buffers_mutex);
    const auto found = output_buffers.find(context);
    return found != output_buffers.end() ? found->second : std::pair<std::string, size_t>{};
}

}  // namespace slmprof

extern "C" {

void slmprof_run_begin(ggml_cgraph * graph, int n_threads) {
    slmprof::active_recorder->run_begin(graph, n_threads);
}

void slmprof_run_end(void) {
    slmprof::active_recorder->run_end();
}

void slmprof_op_begin(int thread) {
    slmprof::active_recorder->op_begin(thread);
}

void slmprof_op_end(int thread, int node, int n_fused) {
    slmprof::active_recorder->op_end(thread, node, n_fused);
}

void slmprof_set_path(int thread, uint32_t code, int only_if_unknown) {
    slmprof::active_recorder->set_path(thread, code, only_if_unknown != 0);
}

void slmprof_enter_segment(int kind) {
    slmprof::active_recorder->enter_segment(kind);
}

void slmprof_note_output_buffer(const void * context, const char * buffer_type, size_t size_bytes) {
    const std::lock_guard<std::mutex> lock(slmprof::output_buffers_mutex);
    slmprof::output_buffers[context] = { buffer_type, size_bytes };
}

}  // extern "C"
