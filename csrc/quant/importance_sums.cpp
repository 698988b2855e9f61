#include "quant/importance_sums.h"

#include "failures.h"

#include "ggml-backend.h"
#include "ggml.h"

#include <cmath>
#include <cstddef>
#include <cstring>

namespace slmprof {

namespace {

constexpr int64_t k_least_tokens = 16;

// A weight's name, which ggml puts between marks where it has copied the weight to another device.
std::string weight_name(const ggml_tensor & weight) {
    const std::string name  = weight.name;
    const size_t      begin = name.find('#');
    return begin == std::string::npos ? name : name.substr(begin + 1, name.find('#', begin + 1) - begin - 1);
}

void fetch(const ggml_tensor & tensor, std::vector<uint8_t> & bytes) {
    bytes.resize(ggml_nbytes(&tensor));
    ggml_backend_tensor_get(&tensor, bytes.data(), 0, bytes.size());
}

void add_squares(const uint8_t * row, int64_t n, float * sums) {
    const auto * values = reinterpret_cast<const float *>(row);
    for (int64_t i = 0; i < n; i++) {
        sums[i] += values[i] * values[i];
    }
}

} // namespace

bool ImportanceSums::wants(const ggml_tensor & tensor) {
    if (tensor.op != GGML_OP_MUL_MAT && tensor.op != GGML_OP_MUL_MAT_ID) {
        return false;
    }
    const ggml_tensor & activations = *tensor.src[1];
    const std::string   name        = weight_name(*tensor.src[0]);
    const bool          is_layer    = name.compare(0, 4, "blk.") == 0;
    if (activations.type != GGML_TYPE_F32 || !(is_layer || (takes_head_ && name == "output.weight"))) {
        return false;
    }
    return tensor.op == GGML_OP_MUL_MAT_ID || activations.ne[1] >= k_least_tokens;
}

void ImportanceSums::see(const ggml_tensor & tensor) {
    const ggml_tensor & weight      = *tensor.src[0];
    const ggml_tensor & activations = *tensor.src[1];
    fetch(activations, activations_);
    ImportanceSum & sum = sums_[weight_name(weight)];
    const int64_t   n   = activations.ne[0];
    sum.n_per_row       = n;
    sum.n_matrices      = weight.ne[2] * weight.ne[3];
    sum.squares.resize(size_t(n * sum.n_matrices));
    sum.counts.resize(size_t(sum.n_matrices));
    const auto add = [&](int64_t matrix, int64_t row, int64_t i2, int64_t i3) {
        const size_t at = size_t(row) * activations.nb[1] + size_t(i2) * activations.nb[2] + size_t(i3) * activations.nb[3];
        add_squares(activations_.data() + at, n, sum.squares.data() + matrix * n);
        sum.counts[size_t(matrix)]++;
    };
    if (tensor.op == GGML_OP_MUL_MAT_ID) {
        // Which matrix each token is multiplied with: [used matrices, tokens].
        const ggml_tensor & ids = *tensor.src[2];
        fetch(ids, ids_);
        for (int64_t token = 0; token < activations.ne[2]; token++) {
            for (int64_t used = 0; used < ids.ne[0]; used++) {
                int32_t matrix = 0;
                std::memcpy(&matrix, ids_.data() + size_t(token) * ids.nb[1] + size_t(used) * ids.nb[0], sizeof(matrix));
                if (matrix >= 0 && matrix < sum.n_matrices) {
                    add(matrix, used % activations.ne[1], token, 0);
                }
            }
        }
    } else {
        for (int64_t i3 = 0; i3 < activations.ne[3]; i3++) {
            for (int64_t i2 = 0; i2 < activations.ne[2]; i2++) {
                for (int64_t row = 0; row < activations.ne[1]; row++) {
                    add((i3 % weight.ne[3]) * weight.ne[2] + i2 % weight.ne[2], row, i2, i3);
                }
            }
        }
    }
    for (const float value : sum.squares) {
        if (!std::isfinite(value)) {
            throw EngineFailure("what " + weight_name(weight) + " is multiplied with is not finite");
        }
    }
}

} // namespace slmprof
