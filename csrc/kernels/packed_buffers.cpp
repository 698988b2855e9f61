#include "kernels/packed_buffers.h"

#include "kernels/packed_tensor.h"
#include "kernels/packed_weights.h"
#include "record/custom_types.h"

#include "ggml-backend-impl.h"
#include "ggml-cpu.h"

#include <algorithm>
#include <mutex>
#include <vector>

namespace slmprof {
namespace {

const char * buffer_type_name(ggml_backend_buffer_type_t) { return "CPU_CUSTOM"; }

size_t alignment(ggml_backend_buffer_type_t) { return ggml_backend_buft_get_alignment(ggml_backend_cpu_buffer_type()); }

size_t alloc_size(ggml_backend_buffer_type_t, const ggml_tensor * tensor) {
    const CustomType * type = custom_type_of(tensor);
    size_t             size = type != nullptr ? type->size_bytes(tensor) : ggml_nbytes(tensor);
#ifndef NDEBUG
    size = std::max(size, ggml_nbytes(tensor));  // which ggml asserts
#endif
    return size;
}

ggml_status init_tensor(ggml_backend_buffer_t, ggml_tensor * tensor) {
    if (tensor->extra == nullptr && PackedWeights::current() != nullptr) {
        tensor->extra = PackedWeights::current()->find(tensor);
    }
    return GGML_STATUS_SUCCESS;
}

void set_tensor(ggml_backend_buffer_t, ggml_tensor * tensor, const void * data, size_t offset, size_t) {
    PackedTensor * packed = packed_tensor_of(tensor);
    GGML_ASSERT(packed != nullptr && offset == 0);
    packed->store(tensor, data);
}

ggml_backend_buffer_t alloc_buffer(ggml_backend_buffer_type_t type, size_t size) {
    ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), size);
    if (buffer != nullptr) {
        buffer->buft              = type;
        buffer->iface.init_tensor = init_tensor;
        buffer->iface.set_tensor  = set_tensor;
        buffer->iface.get_tensor  = nullptr;
        buffer->iface.cpy_tensor  = nullptr;
    }
    return buffer;
}

class PackedBufferType : public ggml::cpu::extra_buffer_type {
  public:
    bool supports_op(ggml_backend_dev_t, const ggml_tensor * op) override {
        PackedTensor * packed = packed_tensor_of(op->src[0]);
        return packed != nullptr && packed->can_compute(op) && (op->op != GGML_OP_GET_ROWS || packed->look_up());
    }

    ggml::cpu::tensor_traits * get_tensor_traits(const ggml_tensor * op) override {
        return op->op == GGML_OP_MUL_MAT || op->op == GGML_OP_MUL_MAT_ID || op->op == GGML_OP_GET_ROWS
                   ? packed_tensor_of(op->src[0])
                   : nullptr;
    }
};

const CustomType * find_custom_type(const ggml_tensor * tensor) {
    const PackedTensor * packed = packed_tensor_of(tensor);
    if (packed == nullptr && tensor->buffer == nullptr && PackedWeights::current() != nullptr) {
        packed = PackedWeights::current()->find(tensor);  // a buffer is being made for it
    }
    return packed != nullptr ? &custom_type(packed->scheme().number()) : nullptr;
}

}  // namespace

ggml_backend_buffer_type_t packed_buffer_type() {
    static PackedBufferType         extra;
    static ggml_backend_buffer_type type{};
    static std::once_flag once;
    std::call_once(once, [] {
        // By their names: which others there are, and in which order, differs between versions of ggml.
        type.iface.get_name       = buffer_type_name;
        type.iface.alloc_buffer   = alloc_buffer;
        type.iface.get_alignment  = alignment;
        type.iface.get_alloc_size = alloc_size;
        type.device               = ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0);
        type.context              = &extra;
        std::vector<ggml_backend_buffer_type_t> & types = ggml_backend_cpu_get_extra_buffer_types();
        types.insert(types.begin(), &type);
        find_custom_types_by(find_custom_type);
    });
    return &type;
}

PackedTensor * packed_tensor_of(const ggml_tensor * tensor) {
    if (tensor == nullptr || tensor->buffer == nullptr) {
        return nullptr;
    }
    if (tensor->buffer->buft->iface.get_name != buffer_type_name) {
        return nullptr;
    }
    if (tensor->extra == nullptr && PackedWeights::current() != nullptr) {
        return PackedWeights::current()->find(tensor);  // where llama.cpp asks whether it may lie there
    }
    return static_cast<PackedTensor *>(tensor->extra);
}

}  // namespace slmprof
