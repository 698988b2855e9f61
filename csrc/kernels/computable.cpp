#include "kernels/computable.h"

#include "failures.h"
#include "kernels/computable_hooks.h"
#include "memory/memory_hooks.h"

#include "ggml-cpu.h"

#include <cstring>
#include <initializer_list>
#include <utility>

namespace slmprof {
namespace {

thread_local std::exception_ptr refusal;

// What llama.cpp keeps of a node of its graphs: the tensor, and the scheduler's and the allocator's notes on it.
constexpr size_t k_node_bytes = 1200;
// Of a plan, which is to stay below 1 GiB with all that it needs besides.
constexpr size_t k_most_node_bytes = size_t(800) << 20;

// Several times as many as the largest vocabularies have; as MAX_VOCAB in Python.
constexpr uint32_t k_most_tokens = 1 << 22;

bool is_f32(ggml_type type) { return type == GGML_TYPE_F32; }

bool is_float(ggml_type type) { return type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16; }

bool is_unpackable(ggml_type type) { return ggml_is_quantized(type) && ggml_get_type_traits(type)->to_float != nullptr; }

bool is_packable(ggml_type type) { return ggml_is_quantized(type) && ggml_get_type_traits_cpu(type)->from_float != nullptr; }

bool has_product(ggml_type type) {
    const ggml_type_traits_cpu * traits = ggml_get_type_traits_cpu(type);
    return traits->vec_dot != nullptr && ggml_get_type_traits_cpu(traits->vec_dot_type)->from_float != nullptr;
}

// Whether a product of weights of the first type takes another factor than one of F32.
bool takes_factor(const ggml_tensor & node, ggml_type first, ggml_type second) {
    const bool is_rotation = is_f32(first) && is_float(second);  // by Hadamard's matrix
    return node.op == GGML_OP_MUL_MAT && (is_rotation || second == ggml_get_type_traits_cpu(first)->vec_dot_type);
}

bool has_rows(ggml_type type) { return is_float(type) || type == GGML_TYPE_I32 || is_unpackable(type); }

// One of the types that no kernel takes for weights; I32 stands for itself in tables of rows.
bool is_foreign(ggml_type type) {
    return type == GGML_TYPE_I8 || type == GGML_TYPE_I16 || type == GGML_TYPE_I32 || type == GGML_TYPE_I64 ||
           type == GGML_TYPE_F64;
}

// binary_op in ggml-cpu/binary-ops.cpp.
std::optional<int> elementwise(ggml_type first, ggml_type second) {
    if (!is_float(first)) {
        return 0;
    }
    return is_f32(second) || second == first ? std::nullopt : std::optional<int>(1);
}

std::optional<int> unless(bool is_computed, int source) {
    return is_computed ? std::nullopt : std::optional<int>(source);
}

ggml_type type_of(const ggml_tensor & node, int source) {
    return node.src[source] != nullptr ? node.src[source]->type : GGML_TYPE_F32;
}

// The first of these sources that is not F32.
std::optional<int> all_f32(const ggml_tensor & node, std::initializer_list<int> sources) {
    for (const int source : sources) {
        if (!is_f32(type_of(node, source))) {
            return source;
        }
    }
    return std::nullopt;
}

// The weight that a tensor's type comes from.
const ggml_tensor & origin(const ggml_tensor & tensor) {
    const ggml_tensor * found = &tensor;
    while (found->op != GGML_OP_NONE) {
        const ggml_tensor * next = nullptr;
        for (const ggml_tensor * source : found->src) {
            if (source != nullptr && source->type == tensor.type) {
                next = source;
                break;
            }
        }
        if (next == nullptr) {
            break;
        }
        found = next;
    }
    return *found;
}

std::string explain(const ggml_tensor & tensor, ggml_op op) {
    const char * type = ggml_type_name(tensor.type);
    return "tensor '" + std::string(ggml_get_name(&tensor)) + "' is of type " + (type != nullptr ? type : "?") +
           ", with which no kernel computes " + ggml_op_name(op);
}

bool is_of_encoder(const ggml_tensor & weight) { return std::strncmp(ggml_get_name(&weight), "enc.", 4) == 0; }

bool has_gpu() {
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        const auto type = ggml_backend_dev_type(ggml_backend_dev_get(i));
        if (type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU) {
            return true;
        }
    }
    return false;
}

bool is_cpu(ggml_backend_t backend) {
    return ggml_backend_dev_type(ggml_backend_get_device(backend)) == GGML_BACKEND_DEVICE_TYPE_CPU;
}

bool is_computed_elsewhere(ggml_backend_sched_t scheduler, const ggml_tensor * node) {
    for (int i = 0; i < ggml_backend_sched_get_n_backends(scheduler); i++) {
        ggml_backend_t backend = ggml_backend_sched_get_backend(scheduler, i);
        if (!is_cpu(backend) && ggml_backend_supports_op(backend, node)) {
            return true;
        }
    }
    return false;
}

template <typename Failure> void refuse_for(const std::string & reason) {
    if (!reason.empty()) {
        refusal = std::make_exception_ptr(Failure(reason));
        std::rethrow_exception(refusal);
    }
}

}  // namespace

// After the switches over types in ggml-cpu's ops.cpp, binary-ops.cpp and unary-ops.cpp.
std::optional<int> uncomputable_source(const ggml_tensor & node) {
    const ggml_type first = type_of(node, 0), second = type_of(node, 1);
    switch (node.op) {
        case GGML_OP_MUL_MAT:
        case GGML_OP_MUL_MAT_ID:
            if (!has_product(first)) {
                return 0;
            }
            return unless(is_f32(second) || takes_factor(node, first, second), 1);
        case GGML_OP_GET_ROWS:
            return unless(has_rows(first), 0);
        case GGML_OP_ADD:
            if (is_unpackable(first) && is_packable(first)) {
                return unless(is_f32(second), 1);
            }
            return elementwise(first, second);
        case GGML_OP_SUB:
        case GGML_OP_MUL:
        case GGML_OP_DIV:
            return elementwise(first, second);
        case GGML_OP_DUP:
        case GGML_OP_CONT:
        case GGML_OP_CPY:
            return unless(first == node.type || is_float(first) || (is_f32(node.type) && has_rows(first)), 0);
        case GGML_OP_REPEAT:
            return unless(is_float(first) || first == GGML_TYPE_I16 || first == GGML_TYPE_I32, 0);
        case GGML_OP_UNARY:
        case GGML_OP_GLU:
        case GGML_OP_SQR:
        case GGML_OP_SQRT:
        case GGML_OP_LOG:
        case GGML_OP_SIN:
        case GGML_OP_COS:
            return unless(is_float(first), 0);
        case GGML_OP_SCALE:
            return unless(is_f32(first) || first == GGML_TYPE_BF16, 0);
        case GGML_OP_CLAMP:
            return unless(is_f32(first) || first == GGML_TYPE_F16, 0);
        case GGML_OP_ROPE:
            return is_f32(first) || first == GGML_TYPE_F16 ? all_f32(node, { 2 }) : 0;
        case GGML_OP_ADD_ID:
        case GGML_OP_SSM_CONV:
            return all_f32(node, { 0, 1 });
        case GGML_OP_SSM_SCAN:
            return all_f32(node, { 0, 1, 2, 3, 4, 5 });
        case GGML_OP_RWKV_WKV6:
        case GGML_OP_GATED_LINEAR_ATTN:
            return all_f32(node, { 0, 1, 2, 3, 4 });
        case GGML_OP_RWKV_WKV7:
            return all_f32(node, { 0, 1, 2, 3, 4, 5, 6 });
        case GGML_OP_SOFT_MAX:
            return all_f32(node, { 0, 2 });
        case GGML_OP_FLASH_ATTN_EXT:
            return all_f32(node, { 0, 4 });
        case GGML_OP_NORM:
        case GGML_OP_RMS_NORM:
        case GGML_OP_GROUP_NORM:
        case GGML_OP_L2_NORM:
        case GGML_OP_SUM_ROWS:
        case GGML_OP_MEAN:
        case GGML_OP_CUMSUM:
        case GGML_OP_ARGSORT:
            return all_f32(node, { 0 });
        case GGML_OP_SET_ROWS:
            return unless(is_f32(first) || first == GGML_TYPE_F16, 0);
        default:
            return std::nullopt;
    }
}

std::string why_not_computable(const ggml_tensor & weight, ggml_op op) {
    const bool is_table = op == GGML_OP_GET_ROWS && weight.type == GGML_TYPE_I32;
    // Its rows are put among given ones, where newer llama.cpp aborts when the graph is built already.
    if (is_table && std::strcmp(ggml_get_name(&weight), "token_embd.weight") == 0) {
        return explain(weight, GGML_OP_SET_ROWS);
    }
    // Of drafts' vocabularies, which the host reads.
    const bool is_map = std::strcmp(ggml_get_name(&weight), "d2t") == 0;
    if (is_foreign(weight.type) && !is_table && !is_map) {
        return explain(weight, op);
    }
    bool is_computed = true;
    switch (op) {
        case GGML_OP_MUL_MAT:
        case GGML_OP_MUL_MAT_ID:
            is_computed = has_product(weight.type);
            break;
        case GGML_OP_GET_ROWS:
            is_computed = is_map || has_rows(weight.type);
            break;
        // With other types ggml aborts when the graph is built already.
        case GGML_OP_ROPE:
        case GGML_OP_SSM_SCAN:
            is_computed = is_f32(weight.type);
            break;
        // Norms. An encoder's are in no graph that is planned.
        case GGML_OP_MUL:
            is_computed = ggml_n_dims(&weight) > 1 || is_f32(weight.type) ||
                          (is_float(weight.type) && (!is_of_encoder(weight) || has_gpu()));
            break;
        case GGML_OP_SCALE:
            is_computed = is_f32(weight.type) || std::strstr(ggml_get_name(&weight), "sinks") == nullptr;
            break;
        default:
            break;
    }
    return is_computed ? "" : explain(weight, op);
}

std::string why_not_computable(ggml_backend_sched_t scheduler, ggml_cgraph * graph) {
    for (int i = 0; i < ggml_graph_n_nodes(graph); i++) {
        const ggml_tensor *      node   = ggml_graph_node(graph, i);
        const std::optional<int> source = uncomputable_source(*node);
        if (source && !is_computed_elsewhere(scheduler, node)) {
            return explain(origin(*node->src[*source]), node->op);
        }
    }
    return "";
}

std::exception_ptr take_refusal() { return std::exchange(refusal, nullptr); }

}  // namespace slmprof

void slmprof_check_weight(const ggml_tensor * weight, ggml_op op) {
    slmprof::refuse_for<slmprof::ModelFailure>(slmprof::why_not_computable(*weight, op));
}

void slmprof_check_graph(ggml_backend_sched_t scheduler, ggml_cgraph * graph) {
    slmprof::refuse_for<slmprof::ModelFailure>(slmprof::why_not_computable(scheduler, graph));
}

void slmprof_check_tokens(uint32_t n_tokens) {
    if (n_tokens > slmprof::k_most_tokens) {
        slmprof::refuse_for<slmprof::ModelFailure>("the model has no vocabulary, but says that it has " + std::to_string(n_tokens) +
                                                   " tokens; no model has more than " + std::to_string(slmprof::k_most_tokens));
    }
}

void slmprof_check_nodes(size_t n_nodes, size_t n_tokens) {
    if (slmprof_is_planning() && n_nodes > slmprof::k_most_node_bytes / slmprof::k_node_bytes) {
        slmprof::refuse_for<slmprof::EngineFailure>(
            "a ubatch of " + std::to_string(n_tokens) + " tokens is too large for this model: llama.cpp makes room for " +
            std::to_string(n_nodes) + " nodes in its graph; use a smaller --n-ubatch");
    }
}
