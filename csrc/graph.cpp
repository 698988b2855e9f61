#include "graph.h"

#include "ggml-backend.h"
#include "ggml.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace slmprof {

namespace {

static_assert(GGML_MAX_DIMS == k_n_dims);
static_assert(GGML_MAX_SRC <= k_n_sources);

// FNV-1a over 8-byte words: fast, and good enough to tell a handful of graphs apart.
struct Hash {
    uint64_t value = 14695981039346656037ULL;

    void add(uint64_t word) {
        value = (value ^ word) * 1099511628211ULL;
        value ^= value >> 29;
    }

    void add_text(const char * text, size_t capacity) {
        const size_t length = strnlen(text, capacity);
        for (size_t i = 0; i < length; i += sizeof(uint64_t)) {
            uint64_t word = 0;
            std::memcpy(&word, text + i, std::min(sizeof(word), length - i));
            add(word);
        }
    }

    void add_tensor(const ggml_tensor * tensor) {
        add((static_cast<uint64_t>(tensor->op) << 32) | (static_cast<uint64_t>(tensor->type) << 16) |
            static_cast<uint32_t>(tensor->flags));
        for (int i = 0; i < GGML_MAX_DIMS; i++) {
            add(static_cast<uint64_t>(tensor->ne[i]));
            add(tensor->nb[i]);
        }
        add_text(tensor->name, sizeof(tensor->name));
    }
};

uint64_t hash_graph(ggml_cgraph * graph) {
    Hash      hash;
    const int n_nodes = ggml_graph_n_nodes(graph);
    hash.add(static_cast<uint64_t>(n_nodes));
    for (int i = 0; i < n_nodes; i++) {
        const ggml_tensor * node = ggml_graph_node(graph, i);
        hash.add_tensor(node);
        for (const ggml_tensor * source : node->src) {
            if (source != nullptr) {
                hash.add_tensor(source);
            }
        }
    }
    return hash.value;
}

const ggml_backend_buffer * buffer_of(const ggml_tensor * tensor) {
    return tensor->view_src != nullptr ? tensor->view_src->buffer : tensor->buffer;
}

uint8_t usage_of(const ggml_backend_buffer * buffer) {
    if (buffer == nullptr) {
        return 0;
    }
    switch (ggml_backend_buffer_get_usage(const_cast<ggml_backend_buffer *>(buffer))) {
        case GGML_BACKEND_BUFFER_USAGE_WEIGHTS: return 1;
        case GGML_BACKEND_BUFFER_USAGE_COMPUTE: return 2;
        case GGML_BACKEND_BUFFER_USAGE_ANY:     return 3;
    }
    return 0;
}

}  // namespace

int32_t GraphRegistry::find_or_copy(ggml_cgraph * graph) {
    const auto known = by_address_.find(graph);
    if (known != by_address_.end()) {
        return known->second;
    }
    const uint64_t hash = hash_graph(graph);
    const auto [entry, is_new] = by_hash_.try_emplace(hash, n_graphs_);
    if (is_new) {
        copy(graph, hash);
        n_graphs_++;
    }
    by_address_[graph] = entry->second;
    return entry->second;
}

void GraphRegistry::copy(ggml_cgraph * graph, uint64_t hash) {
    const int n_nodes = ggml_graph_n_nodes(graph);

    std::unordered_map<const ggml_tensor *, int32_t> rows;
    std::vector<const ggml_tensor *>                 order;
    order.reserve(static_cast<size_t>(n_nodes) * 2);
    for (int i = 0; i < n_nodes; i++) {
        rows.emplace(ggml_graph_node(graph, i), i);
        order.push_back(ggml_graph_node(graph, i));
    }
    // The scheduler's graphs carry no list of leaves: they are what the nodes read and view.
    const auto add_leaf = [&](const ggml_tensor * tensor) {
        if (tensor != nullptr && rows.try_emplace(tensor, static_cast<int32_t>(order.size())).second) {
            order.push_back(tensor);
        }
    };
    for (size_t i = 0; i < order.size(); i++) {
        if (i < static_cast<size_t>(n_nodes)) {
            for (const ggml_tensor * source : order[i]->src) {
                add_leaf(source);
            }
        }
        add_leaf(order[i]->view_src);
    }

    for (size_t i = 0; i < order.size(); i++) {
        append(order[i], n_graphs_, i < static_cast<size_t>(n_nodes) ? static_cast<int32_t>(i) : -1, rows);
    }
    graphs_.hash.push_back(hash);
    graphs_.n_nodes.push_back(n_nodes);
    graphs_.backend.push_back(strings_.intern("CPU"));
}

int32_t GraphRegistry::number_of(const ggml_backend_buffer * buffer) {
    return buffers_.try_emplace(buffer, static_cast<int32_t>(buffers_.size())).first->second;
}

void GraphRegistry::append(const ggml_tensor * tensor, int32_t graph, int32_t node,
                           const std::unordered_map<const ggml_tensor *, int32_t> & rows) {
    const auto row_of = [&](const ggml_tensor * other) {
        const auto found = other != nullptr ? rows.find(other) : rows.end();
        return found != rows.end() ? found->second : -1;
    };
    auto * buffer = const_cast<ggml_backend_buffer *>(buffer_of(tensor));
    const bool has_detail = tensor->op == GGML_OP_UNARY || tensor->op == GGML_OP_GLU;

    tensors_.graph.push_back(graph);
    tensors_.node.push_back(node);
    tensors_.op.push_back(strings_.intern(ggml_op_name(tensor->op)));
    tensors_.op_detail.push_back(has_detail ? strings_.intern(ggml_op_desc(tensor)) : -1);
    tensors_.name.push_back(strings_.intern(std::string(tensor->name, strnlen(tensor->name, sizeof(tensor->name)))));
    tensors_.type.push_back(strings_.intern(ggml_type_name(tensor->type)));
    tensors_.buffer_type.push_back(
        buffer != nullptr ? strings_.intern(ggml_backend_buft_name(ggml_backend_buffer_get_type(buffer))) : -1);
    tensors_.usage.push_back(usage_of(buffer));
    tensors_.flags.push_back(static_cast<uint32_t>(tensor->flags));
    tensors_.buffer.push_back(buffer != nullptr ? number_of(buffer) : -1);
    tensors_.offset_bytes.push_back(
        buffer != nullptr && tensor->data != nullptr
            ? static_cast<const char *>(tensor->data) - static_cast<const char *>(ggml_backend_buffer_get_base(buffer))
            : -1);
    tensors_.view_src.push_back(row_of(tensor->view_src));
    tensors_.view_offset.push_back(static_cast<int64_t>(tensor->view_offs));
    tensors_.size_bytes.push_back(static_cast<int64_t>(ggml_nbytes(tensor)));
    tensors_.param0.push_back(tensor->op_params[0]);
    for (int i = 0; i < k_n_dims; i++) {
        tensors_.ne[i].push_back(tensor->ne[i]);
        tensors_.nb[i].push_back(static_cast<int64_t>(tensor->nb[i]));
    }
    for (int i = 0; i < k_n_sources; i++) {
        tensors_.src[i].push_back(node >= 0 && i < GGML_MAX_SRC ? row_of(tensor->src[i]) : -1);
    }
}

void GraphRegistry::take(GraphColumns & graphs, TensorColumns & tensors) {
    graphs  = std::exchange(graphs_, {});
    tensors = std::exchange(tensors_, {});
}

}  // namespace slmprof
