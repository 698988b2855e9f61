#include "kernels/packed_weights.h"

#include "failures.h"
#include "kernels/packed_buffers.h"
#include "kernels/packed_hooks.h"
#include "record/custom_types.h"

#include "gguf.h"

#include <utility>

namespace slmprof {
namespace {

thread_local PackedWeights * current_weights = nullptr;

// What a packed weight is to llama.cpp: a matrix of floats, which nothing ever reads as such. No scheme takes more.
constexpr ggml_type k_placeholder = GGML_TYPE_F32;

constexpr const char * k_is_packed  = "slmprof.scheme.is_packed";
constexpr const char * k_name       = "slmprof.scheme.name";
constexpr const char * k_source     = "slmprof.scheme.source";
constexpr const char * k_digest     = "slmprof.scheme.digest";
constexpr const char * k_block_size = "slmprof.scheme.block_size";
constexpr const char * k_type_size  = "slmprof.scheme.type_size";
constexpr const char * k_tensors    = "slmprof.scheme.tensors";

int64_t find_key(const gguf_context * metadata, const char * key, gguf_type type) {
    const int64_t id = gguf_find_key(metadata, key);
    return id >= 0 && gguf_get_kv_type(metadata, id) == type ? id : -1;
}

std::string text_of(const gguf_context * metadata, const char * key) {
    const int64_t id = find_key(metadata, key, GGUF_TYPE_STRING);
    return id >= 0 ? gguf_get_val_str(metadata, id) : "";
}

uint32_t number_of(const gguf_context * metadata, const char * key) {
    const int64_t id = find_key(metadata, key, GGUF_TYPE_UINT32);
    return id >= 0 ? gguf_get_val_u32(metadata, id) : 0;
}

}  // namespace

bool is_packed(const gguf_context * metadata) {
    const int64_t id = find_key(metadata, k_is_packed, GGUF_TYPE_BOOL);
    return id >= 0 && gguf_get_val_bool(metadata, id);
}

PackedWeights::PackedWeights(std::shared_ptr<const KernelScheme> scheme) : scheme_(std::move(scheme)) {
    if (scheme_) {
        packed_buffer_type();
    }
}

PackedWeights::PackedWeights(std::shared_ptr<const KernelScheme> scheme, const std::vector<std::string> & names)
    : PackedWeights(std::move(scheme)) {
    is_read_ = is_trial_ = true;
    for (const std::string & name : names) {
        by_name_.emplace(name, std::make_unique<PackedTensor>(scheme_));
    }
}

PackedWeights::~PackedWeights() = default;

PackedWeights::Scope::Scope(PackedWeights & weights) : before_(std::exchange(current_weights, &weights)) {}

PackedWeights::Scope::~Scope() { current_weights = before_; }

PackedWeights * PackedWeights::current() { return current_weights; }

void PackedWeights::read(const gguf_context * metadata) {
    is_read_ = true;
    if (!is_packed(metadata)) {
        return;
    }
    const std::string what = "weights packed by the scheme " + text_of(metadata, k_name) + " (" + text_of(metadata, k_source) + ")";
    if (!scheme_) {
        throw ModelFailure("it holds " + what + ", which only that scheme reads: write MODEL@FILE:NAME");
    }
    if (scheme_->digest() != text_of(metadata, k_digest)) {
        throw ModelFailure("it holds " + what + ", which is not the scheme that was given, or was changed since: sha256 " +
                           text_of(metadata, k_digest) + " against " + scheme_->digest());
    }
    if (scheme_->block_size() != number_of(metadata, k_block_size) || scheme_->type_size() != number_of(metadata, k_type_size)) {
        throw ModelFailure("it holds " + what + " in blocks of another size");
    }
    const int64_t id = find_key(metadata, k_tensors, GGUF_TYPE_ARRAY);
    if (id < 0 || gguf_get_arr_type(metadata, id) != GGUF_TYPE_STRING) {
        throw ModelFailure("it does not say which of its weights are packed");
    }
    for (size_t i = 0; i < gguf_get_arr_n(metadata, id); i++) {
        by_name_.emplace(gguf_get_arr_str(metadata, id, i), std::make_unique<PackedTensor>(scheme_));
    }
}

int64_t PackedWeights::reshape(const gguf_context * metadata, ggml_tensor * tensor) {
    if (!is_read_) {
        read(metadata);
    }
    const auto found = by_name_.find(ggml_get_name(tensor));
    if (found == by_name_.end() || is_trial_) {
        return 0;
    }
    const auto type_size = static_cast<int64_t>(scheme_->type_size());
    if (tensor->type != GGML_TYPE_I8 || tensor->ne[0] % type_size != 0) {
        throw ModelFailure("its tensor " + found->first + " is said to be packed, but holds no whole blocks");
    }
    const int64_t n_before = ggml_nelements(tensor);
    tensor->ne[0]          = tensor->ne[0] / type_size * scheme_->block_size();
    tensor->type           = k_placeholder;
    tensor->nb[0]          = ggml_type_size(k_placeholder);
    tensor->nb[1]          = ggml_row_size(k_placeholder, tensor->ne[0]);
    for (int i = 2; i < GGML_MAX_DIMS; i++) {
        tensor->nb[i] = tensor->nb[i - 1] * static_cast<size_t>(tensor->ne[i - 1]);
    }
    return ggml_nelements(tensor) - n_before;
}

PackedTensor * PackedWeights::find(const ggml_tensor * tensor) {
    const auto found = by_name_.find(ggml_get_name(tensor));
    return found != by_name_.end() ? found->second.get() : nullptr;
}

std::vector<std::string> PackedWeights::held(const std::vector<ggml_tensor *> & tensors) const {
    std::map<std::string, bool> is_held;
    for (const ggml_tensor * tensor : tensors) {
        if (by_name_.count(ggml_get_name(tensor)) > 0) {
            const bool is_here = ggml_backend_buffer_get_type(tensor->buffer) == packed_buffer_type();
            is_held.try_emplace(ggml_get_name(tensor), true).first->second &= is_here;
        }
    }
    std::vector<std::string> names;
    for (const auto & [name, is_one] : is_held) {
        if (is_one) {
            names.push_back(name);
        }
    }
    return names;
}

void PackedWeights::bind(const std::vector<ggml_tensor *> & tensors) {
    for (ggml_tensor * tensor : tensors) {
        PackedTensor * packed = find(tensor);
        if (packed == nullptr) {
            continue;
        }
        if (ggml_backend_buffer_get_type(tensor->buffer) != packed_buffer_type()) {
            throw ModelFailure(std::string("its tensor ") + ggml_get_name(tensor) + " is packed by the scheme " + scheme_->name() +
                               ", but the model uses it for more than products: keep it out of --scheme-tensors");
        }
        tensor->extra = packed;
    }
}

}  // namespace slmprof

using slmprof::current_weights;

extern "C" {

int64_t slmprof_reshape_packed(const gguf_context * metadata, ggml_tensor * tensor) {
    return current_weights != nullptr ? current_weights->reshape(metadata, tensor) : 0;
}

ggml_backend_buffer_type_t slmprof_packed_buffer_type(void) {
    return current_weights != nullptr && current_weights->is_any() ? slmprof::packed_buffer_type() : nullptr;
}

size_t slmprof_stored_bytes(const ggml_tensor * tensor) {
    const slmprof::CustomType * type = slmprof::custom_type_of(tensor);
    return type != nullptr ? type->size_bytes(tensor) : ggml_nbytes(tensor);
}

}  // extern "C"
