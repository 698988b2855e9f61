#include "record/schedule.h"

#include "ggml-backend.h"

namespace slmprof {

void Schedule::clear() {
    splits_.clear();
    originals_.clear();
    n_nodes_ = 0;
    last_    = 0;
}

void Schedule::add_split(ggml_cgraph * graph, ggml_backend * backend) {
    splits_.push_back({ graph, backend, backend != nullptr ? ggml_backend_get_device(backend) : nullptr, n_nodes_ });
    n_nodes_ += ggml_graph_n_nodes(graph);
}

int32_t Schedule::find(const ggml_cgraph * graph) {
    for (size_t i = 0; i < splits_.size(); i++) {
        const size_t place = (last_ + i) % splits_.size();
        if (splits_[place].graph == graph) {
            last_ = place;
            return static_cast<int32_t>(place);
        }
    }
    return -1;
}

}  // namespace slmprof
