#include "record/lone_nodes.h"

#include "record/clock.h"

#include "ggml-impl.h"

#include <algorithm>
#include <array>

namespace slmprof {
namespace {

constexpr size_t k_empty_graphs = 5;

// While it lives, the sources of a node have no sources. A backend that sends a graph elsewhere would send all that
// stands before the node with each: the later in the graph, the more.
class CutSources {
  public:
    explicit CutSources(ggml_tensor * node) {
        for (ggml_tensor * source : node->src) {
            cut(source, node);
        }
        cut(node->view_src, node);
    }

    ~CutSources() {
        while (n_ > 0) {
            n_--;
            std::copy(cut_[n_].sources.begin(), cut_[n_].sources.end(), cut_[n_].tensor->src);
        }
    }

    CutSources(const CutSources &)             = delete;
    CutSources & operator=(const CutSources &) = delete;

  private:
    struct Cut {
        ggml_tensor *                            tensor;
        std::array<ggml_tensor *, GGML_MAX_SRC> sources;
    };

    // A view, and what it is a view of: ggml lets views refer to no further view.
    void cut(ggml_tensor * tensor, const ggml_tensor * node) {
        for (; tensor != nullptr && tensor != node && n_ < cut_.size(); tensor = tensor->view_src) {
            Cut & saved  = cut_[n_++];
            saved.tensor = tensor;
            std::copy_n(tensor->src, GGML_MAX_SRC, saved.sources.begin());
            std::fill_n(tensor->src, GGML_MAX_SRC, nullptr);
        }
    }

    std::array<Cut, 2 * (GGML_MAX_SRC + 1)> cut_{};
    size_t                                  n_ = 0;
};

}  // namespace

bool is_computed(const ggml_tensor * node) {
    switch (node->op) {
        case GGML_OP_NONE:
        case GGML_OP_RESHAPE:
        case GGML_OP_VIEW:
        case GGML_OP_PERMUTE:
        case GGML_OP_TRANSPOSE: return false;
        default:                return (node->flags & GGML_TENSOR_FLAG_COMPUTE) != 0 && ggml_nelements(node) > 0;
    }
}

void await_device(const DeviceLane & lane, ggml_backend_t backend, const ggml_tensor * tensor) {
    ggml_backend_synchronize(backend);
    if (!lane.tells_end) {
        uint32_t value = 0;
        ggml_backend_tensor_get(tensor, &value, 0, std::min(sizeof(value), ggml_nbytes(tensor)));
    }
}

ggml_status compute_alone(const DeviceLane & lane, ggml_backend_t backend, ggml_cgraph * graph, int node) {
    ggml_cgraph   alone  = ggml_graph_view(graph, node, node + 1);
    ggml_tensor * tensor = graph->nodes[node];
    ggml_status   status;
    {
        const CutSources cut(tensor);
        status = ggml_backend_graph_compute_async(backend, &alone);
    }
    await_device(lane, backend, tensor);
    return status;
}

uint64_t time_empty_graph(const DeviceLane & lane, ggml_backend_t backend, ggml_cgraph * graph) {
    ggml_tensor ** const end    = graph->nodes + graph->n_nodes;
    ggml_tensor ** const placed = std::find_if(graph->nodes, end, [](const ggml_tensor * node) {
        return node->buffer != nullptr && node->data != nullptr && node->view_src == nullptr && ggml_nbytes(node) > 0;
    });
    if (placed == end) {
        return 0;
    }
    // The place of a tensor, and nothing to do there.
    ggml_tensor nothing = **placed;
    nothing.op          = GGML_OP_NONE;
    nothing.flags       = 0;
    std::fill_n(nothing.src, GGML_MAX_SRC, nullptr);
    ggml_tensor * node  = &nothing;
    ggml_cgraph   empty = ggml_graph_view(graph, 0, 1);
    empty.nodes         = &node;

    std::array<uint64_t, k_empty_graphs> ticks{};
    for (uint64_t & each : ticks) {
        const uint64_t begin = read_ticks();
        ggml_backend_graph_compute_async(backend, &empty);
        await_device(lane, backend, node);
        each = read_ticks() - begin;
    }
    std::sort(ticks.begin(), ticks.end());
    return ticks[ticks.size() / 2];
}

}  // namespace slmprof
