#include "kernels/packed_tensor.h"

#include "kernels/products.h"

#include "ggml-backend.h"
#include "ggml.h"

#include <cstring>

namespace slmprof {

int64_t PackedTensor::n_arranged(int64_t n_rows) const {
    if (is_looked_up_ || !scheme().is_arranged()) {
        return 0;
    }
    const int64_t group = scheme().functions().group_rows;
    return n_rows / group * group;
}

bool PackedTensor::look_up() {
    is_looked_up_ = is_looked_up_ || !is_stored_;
    return is_looked_up_ || !scheme().is_arranged();
}

void PackedTensor::store(const ggml_tensor * tensor, const void * blocks) {
    is_stored_ = true;
    const size_t  row_bytes = scheme().row_bytes(tensor->ne[0]);
    const int64_t n_rows    = tensor->ne[1];
    const int64_t n_grouped = n_arranged(n_rows);
    const int64_t group     = n_grouped > 0 ? scheme().functions().group_rows : 1;
    const auto *  from      = static_cast<const char *>(blocks);
    auto *        to        = static_cast<char *>(tensor->data);
    for (int64_t matrix = 0; matrix < tensor->ne[2] * tensor->ne[3]; matrix++) {
        for (int64_t row = 0; row < n_grouped; row += group) {
            const size_t at = static_cast<size_t>(matrix * n_rows + row) * row_bytes;
            scheme().functions().arrange(static_cast<size_t>(tensor->ne[0]), from + at, to + at);
        }
        const size_t at = static_cast<size_t>(matrix * n_rows + n_grouped) * row_bytes;
        std::memcpy(to + at, from + at, static_cast<size_t>(n_rows - n_grouped) * row_bytes);
    }
}

bool PackedTensor::can_compute(const ggml_tensor * op) const {
    const ggml_tensor * weight = op->src[0];
    const ggml_tensor * other  = op->src[1];
    if (op->type != GGML_TYPE_F32 || other == nullptr || weight->view_src != nullptr ||
        (other->buffer != nullptr && !ggml_backend_buft_is_host(ggml_backend_buffer_get_type(other->buffer)))) {
        return false;
    }
    switch (op->op) {
        case GGML_OP_MUL_MAT:
            return other->type == GGML_TYPE_F32 && weight->ne[2] == 1 && weight->ne[3] == 1 && scheme().takes(weight->ne[0]);
        case GGML_OP_MUL_MAT_ID:
            return other->type == GGML_TYPE_F32 && weight->ne[3] == 1 && scheme().takes(weight->ne[0]);
        case GGML_OP_GET_ROWS:
            return other->type == GGML_TYPE_I32 && weight->ne[2] == 1 && weight->ne[3] == 1 &&
                   scheme().functions().unpack != nullptr;
        default: return false;
    }
}

bool PackedTensor::work_size(int /*n_threads*/, const ggml_tensor * op, size_t & size) {
    if (op->op != GGML_OP_MUL_MAT && op->op != GGML_OP_MUL_MAT_ID) {
        return false;
    }
    size = product_work_bytes(*this, op);
    return true;
}

bool PackedTensor::compute_forward(ggml_compute_params * params, ggml_tensor * op) {
    switch (op->op) {
        case GGML_OP_MUL_MAT:    multiply(*this, *params, op); return true;
        case GGML_OP_MUL_MAT_ID: multiply_experts(*this, *params, op); return true;
        case GGML_OP_GET_ROWS:   look_rows_up(*this, *params, op); return true;
        default:                 return false;
    }
}

}  // namespace slmprof
