#include "record/graph.h"

#include "record/cpu_lanes.h"
#include "record/custom_types.h"

#include "ggml-backend.h"
#include "ggml.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <cstring>
#include <tuple>

namespace slmprof {
namespace {

static_assert(GGML_MAX_DIMS == k_n_dims);
static_assert(GGML_MAX_SRC <= k_n_sources);

// Minus infinity, by its bits.
constexpr uint16_t k_masked_f16 = 0xFC00;
constexpr uint32_t k_masked_f32 = 0xFF800000;

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

std::string name_of(const ScheduledSplit & split) {
    return split.device != nullptr ? ggml_backend_dev_name(split.device) : cpu_device_name();
}

uint64_t hash_graph(const Schedule & graph) {
    Hash hash;
    hash.add(static_cast<uint64_t>(graph.n_nodes()));
    graph.visit_nodes([&](const ggml_tensor * node) {
        hash.add_tensor(node);
        for (const ggml_tensor * source : node->src) {
            if (source != nullptr) {
                hash.add_tensor(source);
            }
        }
    });
    // The same nodes on other devices are another graph.
    for (size_t i = 0; graph.splits().size() > 1 && i < graph.splits().size(); i++) {
        const std::string name = name_of(graph.splits()[i]);
        hash.add(static_cast<uint64_t>(graph.splits()[i].first_node));
        hash.add_text(name.c_str(), name.size());
    }
    return hash.value;
}

const ggml_backend_buffer * buffer_of(const ggml_tensor * tensor) {
    return tensor->view_src != nullptr ? tensor->view_src->buffer : tensor->buffer;
}

// The input that a mask is made of by casts, views and copies to other devices; null where the graph computes it.
const ggml_tensor * mask_input(const Schedule & graph, const ggml_tensor * mask) {
    constexpr std::array<ggml_op, 7> k_passes_on = { GGML_OP_CPY,     GGML_OP_DUP,     GGML_OP_CONT,     GGML_OP_VIEW,
                                                     GGML_OP_RESHAPE, GGML_OP_PERMUTE, GGML_OP_TRANSPOSE };
    mask = graph.original_of(mask);
    while (mask != nullptr && (mask->op != GGML_OP_NONE || mask->view_src != nullptr)) {
        if (mask->op == GGML_OP_NONE) {
            mask = mask->view_src;
        } else {
            const bool passes_on = std::find(k_passes_on.begin(), k_passes_on.end(), mask->op) != k_passes_on.end();
            mask                 = passes_on ? mask->src[0] : nullptr;
        }
        mask = graph.original_of(mask);
    }
    const bool is_readable = mask != nullptr && (mask->type == GGML_TYPE_F32 || mask->type == GGML_TYPE_F16) &&
                             (mask->flags & GGML_TENSOR_FLAG_INPUT) != 0 && ggml_is_contiguous(mask);
    return is_readable ? mask : nullptr;
}

std::vector<const ggml_tensor *> find_masks(const Schedule & graph) {
    std::vector<const ggml_tensor *> masks;
    graph.visit_nodes([&](const ggml_tensor * node) {
        const ggml_tensor * mask = mask_input(graph, node->op == GGML_OP_FLASH_ATTN_EXT ? node->src[3]
                                                     : node->op == GGML_OP_SOFT_MAX     ? node->src[1]
                                                                                        : nullptr);
        if (mask != nullptr && std::find(masks.begin(), masks.end(), mask) == masks.end()) {
            masks.push_back(mask);
        }
    });
    return masks;
}

template <typename T>
std::pair<int64_t, int64_t> count_unlike(const T * values, T masked, int64_t n_keys, int64_t n_rows, uint8_t * seen) {
    int64_t n_pairs = 0;
    for (int64_t row = 0; row < n_rows; row++, values += n_keys) {
        int64_t n = 0;
        for (int64_t key = 0; key < n_keys; key++) {
            const bool is_open = values[key] != masked;
            n += is_open;
            seen[key] |= static_cast<uint8_t>(is_open);
        }
        n_pairs += n;
    }
    return { n_pairs, std::count(seen, seen + n_keys, 1) };
}

constexpr uint8_t k_usage_compute = 2;

// What the graph allocator places by itself, in the order of the places.
std::vector<const ggml_tensor *> placed_tensors(const GraphPlaces & places) {
    std::vector<const ggml_tensor *> tensors;
    for (const auto & [tensor, place] : places) {
        if (place.offset >= 0) {
            tensors.push_back(tensor);
        }
    }
    std::sort(tensors.begin(), tensors.end(), [&](const ggml_tensor * a, const ggml_tensor * b) {
        const GraphPlace & left = places.at(a), & right = places.at(b);
        return std::tie(left.buffer, left.offset) < std::tie(right.buffer, right.offset);
    });
    return tensors;
}

uint8_t usage_of(const ggml_backend_buffer * buffer) {
    if (buffer == nullptr) {
        return 0;
    }
    switch (ggml_backend_buffer_get_usage(const_cast<ggml_backend_buffer *>(buffer))) {
        case GGML_BACKEND_BUFFER_USAGE_WEIGHTS: return 1;
        case GGML_BACKEND_BUFFER_USAGE_COMPUTE: return k_usage_compute;
        case GGML_BACKEND_BUFFER_USAGE_ANY:     return 3;
    }
    return 0;
}

}  // namespace

int32_t GraphRegistry::find_or_copy(const Schedule & graph) {
    if (const int32_t known = find_known(graph); known >= 0) {
        return known;
    }
    const uint64_t hash = hash_graph(graph);
    const auto [entry, is_new] = by_hash_.try_emplace(hash, n_graphs_);
    if (is_new) {
        copy(graph, hash, nullptr);
    }
    return by_address_[graph.address()] = entry->second;
}

void GraphRegistry::copy_planned(ggml_cgraph * graph, const GraphPlaces & places) {
    const Schedule whole(graph);
    copy(whole, hash_graph(whole), &places);
}

void GraphRegistry::copy(const Schedule & graph, uint64_t hash, const GraphPlaces * places) {
    const auto                       n_nodes = static_cast<size_t>(graph.n_nodes());
    TensorRows                       rows;
    std::vector<const ggml_tensor *> order;
    order.reserve(n_nodes * 2);
    graph.visit_nodes([&](const ggml_tensor * node) {
        rows.emplace(node, static_cast<int32_t>(order.size()));
        order.push_back(node);
    });
    // The scheduler's graphs carry no list of leaves: they are what the nodes read and view. What another device
    // computes is no leaf, although a copy of it is read.
    const auto add_leaf = [&](const ggml_tensor * tensor) {
        const ggml_tensor * original = graph.original_of(tensor);
        if (original != nullptr && rows.try_emplace(original, static_cast<int32_t>(order.size())).second) {
            order.push_back(original);
        }
        if (tensor != original) {
            rows.emplace(tensor, rows.at(original));
        }
    };
    for (size_t i = 0; i < order.size(); i++) {
        if (i < n_nodes) {
            for (const ggml_tensor * source : order[i]->src) {
                add_leaf(source);
            }
        }
        add_leaf(order[i]->view_src);
    }
    if (places != nullptr) {
        for (const ggml_tensor * tensor : placed_tensors(*places)) {
            add_leaf(tensor);  // an input that no node reads
        }
    }

    for (size_t i = 0; i < order.size(); i++) {
        append(order[i], i < n_nodes ? static_cast<int32_t>(i) : -1, rows, places);
    }
    std::vector<int32_t> mask_rows;
    for (const ggml_tensor * mask : find_masks(graph)) {
        mask_rows.push_back(rows.at(mask));
    }
    mask_rows_.push_back(std::move(mask_rows));
    append_graph(graph, hash);
}

void GraphRegistry::append_graph(const Schedule & graph, uint64_t hash) {
    SplitColumns::Row split;
    split.graph = n_graphs_;
    GraphColumns::Row row;
    row.hash    = hash;
    row.n_nodes = graph.n_nodes();
    first_split_.push_back(n_splits_);
    for (const ScheduledSplit & scheduled : graph.splits()) {
        split.device     = strings_.intern(name_of(scheduled));
        split.first_node = scheduled.first_node;
        split.n_nodes    = ggml_graph_n_nodes(scheduled.graph);
        row.backend      = n_splits_ == first_split_.back() || row.backend == split.device ? split.device : -1;
        splits_.append(split);
        n_splits_++;
    }
    graphs_.append(row);
    n_graphs_++;
}

void GraphRegistry::find_place(const ggml_tensor * tensor, TensorColumns::Row & row) {
    auto * buffer = const_cast<ggml_backend_buffer *>(buffer_of(tensor));
    if (buffer == nullptr) {
        return;
    }
    row.buffer_type = strings_.intern(ggml_backend_buft_name(ggml_backend_buffer_get_type(buffer)));
    row.usage       = usage_of(buffer);
    row.buffer      = buffers_.try_emplace(buffer, static_cast<int32_t>(buffers_.size())).first->second;
    if (tensor->data != nullptr) {
        row.offset_bytes =
            static_cast<const char *>(tensor->data) - static_cast<const char *>(ggml_backend_buffer_get_base(buffer));
    }
}

void GraphRegistry::plan_place(const ggml_tensor * tensor, const GraphPlaces & places, TensorColumns::Row & row) {
    const auto found = places.find(tensor->view_src != nullptr ? tensor->view_src : tensor);
    const auto place = found != places.end() ? found->second : GraphPlace{};
    row.buffer_type  = place.type != nullptr ? strings_.intern(ggml_backend_buft_name(place.type)) : -1;
    row.usage        = place.offset >= 0 ? k_usage_compute : usage_of(buffer_of(tensor));
    row.buffer       = place.buffer;
    row.offset_bytes = place.offset;
    if (place.offset >= 0 && tensor->view_src != nullptr) {
        row.offset_bytes += static_cast<int64_t>(tensor->view_offs);
    }
}

void GraphRegistry::append(const ggml_tensor * tensor, int32_t node, const TensorRows & rows, const GraphPlaces * places) {
    const auto row_of = [&](const ggml_tensor * other) {
        const auto found = other != nullptr ? rows.find(other) : rows.end();
        return found != rows.end() ? found->second : -1;
    };
    const bool has_detail = tensor->op == GGML_OP_UNARY || tensor->op == GGML_OP_GLU;

    TensorColumns::Row row;
    row.graph       = n_graphs_;
    row.node        = node;
    row.op          = strings_.intern(ggml_op_name(tensor->op));
    row.op_detail   = has_detail ? strings_.intern(ggml_op_desc(tensor)) : -1;
    row.name        = strings_.intern(std::string(tensor->name, strnlen(tensor->name, sizeof(tensor->name))));
    const CustomType * custom = custom_type_of(tensor);
    row.type        = strings_.intern(custom != nullptr ? custom->name : ggml_type_name(tensor->type));
    row.buffer_type = row.buffer = -1;
    row.offset_bytes             = -1;
    if (places != nullptr) {
        plan_place(tensor, *places, row);
    } else {
        find_place(tensor, row);
    }
    row.flags       = static_cast<uint32_t>(tensor->flags);
    row.view_src    = row_of(tensor->view_src);
    row.view_offset = static_cast<int64_t>(tensor->view_offs);
    row.size_bytes  = static_cast<int64_t>(ggml_nbytes(tensor));
    std::copy_n(tensor->op_params, k_n_params, row.param.begin());
    std::copy_n(tensor->ne, k_n_dims, row.ne.begin());
    std::copy_n(tensor->nb, k_n_dims, row.nb.begin());
    if (custom != nullptr) {
        row.size_bytes = static_cast<int64_t>(custom->size_bytes(tensor));
        row.nb[0]      = static_cast<int64_t>(custom->type_size);
        row.nb[1]      = static_cast<int64_t>(custom->row_bytes(tensor->ne[0]));
        row.nb[2]      = row.nb[1] * tensor->ne[1];
        row.nb[3]      = row.nb[2] * tensor->ne[2];
    }
    row.src.fill(-1);
    for (int i = 0; node >= 0 && i < GGML_MAX_SRC; i++) {
        row.src[static_cast<size_t>(i)] = row_of(tensor->src[i]);
    }
    tensors_.append(row);
}

const std::vector<const ggml_tensor *> & GraphRegistry::masks_of(const Schedule & graph) {
    const auto known = masks_by_address_.find(graph.address());
    return known != masks_by_address_.end() ? known->second
                                            : masks_by_address_.emplace(graph.address(), find_masks(graph)).first->second;
}

int32_t GraphRegistry::mask_row(int32_t graph, int32_t mask) const {
    return mask_rows_.at(static_cast<size_t>(graph)).at(static_cast<size_t>(mask));
}

std::pair<int64_t, int64_t> count_unmasked(const ggml_tensor * mask, std::vector<uint8_t> & seen) {
    // A mask of several sequences has one plane for each; their keys are different ones.
    const int64_t n_keys   = mask->ne[0];
    const int64_t n_planes = mask->ne[2] * mask->ne[3];
    int64_t       pairs = 0, keys = 0;
    for (int64_t plane = 0; plane < n_planes; plane++) {
        seen.assign(static_cast<size_t>(n_keys), 0);
        const int64_t first = plane * n_keys * mask->ne[1];
        const auto [n_pairs, n_seen] =
            mask->type == GGML_TYPE_F16
                ? count_unlike(static_cast<const uint16_t *>(mask->data) + first, k_masked_f16, n_keys, mask->ne[1], seen.data())
                : count_unlike(static_cast<const uint32_t *>(mask->data) + first, k_masked_f32, n_keys, mask->ne[1], seen.data());
        pairs += n_pairs;
        keys += n_seen;
    }
    return { pairs, keys };
}

uint32_t count_experts(const ggml_tensor * experts) {
    constexpr int64_t k_most_experts = 4096;
    if (experts->ne[1] == 1) {
        return static_cast<uint32_t>(experts->ne[0]);  // the choices of one token are different ones
    }
    std::bitset<k_most_experts> chosen;
    for (int64_t token = 0; token < experts->ne[1]; token++) {
        for (int64_t i = 0; i < experts->ne[0]; i++) {
            const auto expert = *reinterpret_cast<const int32_t *>(static_cast<const char *>(experts->data) +
                                                                   static_cast<size_t>(token) * experts->nb[1] +
                                                                   static_cast<size_t>(i) * experts->nb[0]);
            if (expert < 0 || expert >= k_most_experts) {
                return 0;
            }
            chosen[static_cast<size_t>(expert)] = true;
        }
    }
    return static_cast<uint32_t>(chosen.count());
}

void GraphRegistry::take(GraphColumns & graphs, SplitColumns & splits, TensorColumns & tensors) {
    graphs  = std::exchange(graphs_, {});
    splits  = std::exchange(splits_, {});
    tensors = std::exchange(tensors_, {});
}

}  // namespace slmprof
