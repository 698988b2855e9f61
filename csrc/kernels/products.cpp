#include "kernels/products.h"

#include "kernels/packed_tensor.h"
#include "record/hooks.h"

#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace slmprof {
namespace {

constexpr int64_t k_chunks_of_thread = 4;   // of rows, so that a thread that is late leaves its rest to others
constexpr int64_t k_tile             = 16;  // rows and columns that are multiplied together where there is no gemm

int64_t padded(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// Columns of activations, each converted to what the scheme reads.
struct Columns {
    const char * data;
    size_t       bytes;  // from one to the next

    const char * operator[](int64_t column) const { return data + static_cast<size_t>(column) * bytes; }
};

// One matrix of packed rows, some of them arranged in groups.
class Matrix {
  public:
    Matrix(const PackedTensor & weight, const ggml_tensor * tensor, int64_t number)
        : functions_(weight.scheme().functions()), n_(static_cast<size_t>(tensor->ne[0])),
          row_bytes_(weight.scheme().row_bytes(tensor->ne[0])), n_arranged_(weight.n_arranged(tensor->ne[1])),
          rows_(static_cast<const char *>(tensor->data) + row_bytes_ * static_cast<size_t>(tensor->ne[1] * number)) {}

    // results[column * stride + row - first] of these rows.
    void multiply(int64_t first, int64_t end, Columns columns, int64_t n_columns, float * results, size_t stride) const {
        const int64_t n_grouped = std::clamp(n_arranged_, first, end);
        if (n_grouped > first) {
            by_blocks(first, n_grouped, columns, n_columns, results, stride);
        }
        float * rest = results + (n_grouped - first);
        if (end > n_grouped && functions_.arrange == nullptr) {
            by_blocks(n_grouped, end, columns, n_columns, rest, stride);
        } else if (end > n_grouped) {
            by_tiles(n_grouped, end, columns, n_columns, rest, stride, false);
        }
    }

  private:
    const char * row(int64_t number) const { return rows_ + static_cast<size_t>(number) * row_bytes_; }

    void by_blocks(int64_t first, int64_t end, Columns columns, int64_t n_columns, float * results, size_t stride) const {
        const auto n_rows = static_cast<size_t>(end - first);
        if (functions_.gemm != nullptr && n_columns > 1) {
            functions_.gemm(n_, n_rows, row(first), static_cast<size_t>(n_columns), columns.data, results, stride);
        } else if (functions_.gemv != nullptr && n_columns == 1) {
            functions_.gemv(n_, n_rows, row(first), columns.data, results);
        } else {
            by_tiles(first, end, columns, n_columns, results, stride, functions_.gemv != nullptr);
        }
    }

    void by_tiles(int64_t first, int64_t end, Columns columns, int64_t n_columns, float * results, size_t stride,
                  bool has_gemv) const {
        for (int64_t column0 = 0; column0 < n_columns; column0 += k_tile) {
            const int64_t column_end = std::min(column0 + k_tile, n_columns);
            for (int64_t row0 = first; row0 < end; row0 += k_tile) {
                const int64_t row_end = std::min(row0 + k_tile, end);
                for (int64_t column = column0; column < column_end; column++) {
                    float * result = results + static_cast<size_t>(column) * stride + (row0 - first);
                    if (has_gemv) {
                        functions_.gemv(n_, static_cast<size_t>(row_end - row0), row(row0), columns[column], result);
                        continue;
                    }
                    for (int64_t r = row0; r < row_end; r++) {
                        functions_.dot(n_, row(r), columns[column], result + (r - row0));
                    }
                }
            }
        }
    }

    const slmprof_scheme & functions_;
    size_t                 n_, row_bytes_;
    int64_t                n_arranged_;
    const char *           rows_;
};

// How rows are handed out to threads: the first chunk of each by its number, then whoever comes.
struct Chunks {
    int64_t n_rows, n_each, n;

    Chunks(const PackedTensor & weight, int64_t n_rows, int n_threads) : n_rows(n_rows) {
        // Chunks begin with a group, and where there is none on lines of the caches of their results.
        const int64_t step = weight.scheme().is_arranged() ? weight.scheme().functions().group_rows : k_tile;
        n_each = padded((n_rows + n_threads * k_chunks_of_thread - 1) / (n_threads * k_chunks_of_thread), step);
        n      = (n_rows + n_each - 1) / n_each;
    }

    int64_t first(int64_t chunk) const { return chunk * n_each; }
    int64_t end(int64_t chunk) const { return std::min(n_rows, (chunk + 1) * n_each); }
};

const char * element(const ggml_tensor * tensor, int64_t i1, int64_t i2, int64_t i3) {
    return static_cast<const char *>(tensor->data) + static_cast<size_t>(i1) * tensor->nb[1] +
           static_cast<size_t>(i2) * tensor->nb[2] + static_cast<size_t>(i3) * tensor->nb[3];
}

float * result_of(ggml_tensor * op, int64_t i1, int64_t i2, int64_t i3) {
    return reinterpret_cast<float *>(const_cast<char *>(element(op, i1, i2, i3)));
}

// All columns of the activations, one after the other in the work buffer.
void convert_columns(const PackedTensor & weight, const ggml_compute_params & params, const ggml_tensor * activations) {
    const KernelScheme & scheme  = weight.scheme();
    const int64_t        n       = activations->ne[0];
    const int64_t        n_all   = ggml_nrows(activations);
    const size_t         bytes   = scheme.column_bytes(n);
    auto *               columns = static_cast<char *>(params.wdata);
    GGML_ASSERT(params.wsize >= bytes * static_cast<size_t>(n_all) && activations->nb[0] == sizeof(float));

    // A column is divided where there are fewer of them than threads: as ggml does, between blocks.
    const auto    convert  = scheme.activations() == GGML_TYPE_F32
                                 ? ggml_from_float_t(nullptr)
                                 : ggml_get_type_traits_cpu(scheme.activations())->from_float;
    const int64_t n_blocks = n / ggml_blck_size(scheme.activations());
    const bool    divides  = n_all < params.nth;
    const int64_t first    = divides ? n_blocks * params.ith / params.nth : 0;
    const int64_t end      = divides ? n_blocks * (params.ith + 1) / params.nth : n_blocks;
    const int64_t block    = ggml_blck_size(scheme.activations());
    const size_t  at       = static_cast<size_t>(first) * ggml_type_size(scheme.activations());
    for (int64_t column = divides ? 0 : params.ith; column < n_all; column += divides ? 1 : params.nth) {
        const int64_t i1   = column % activations->ne[1];
        const int64_t i2   = column / activations->ne[1] % activations->ne[2];
        const int64_t i3   = column / (activations->ne[1] * activations->ne[2]);
        const auto *  from = reinterpret_cast<const float *>(element(activations, i1, i2, i3)) + first * block;
        char *        to   = columns + static_cast<size_t>(column) * bytes + at;
        if (convert == nullptr) {
            std::memcpy(to, from, static_cast<size_t>((end - first) * block) * sizeof(float));
        } else if (end > first) {
            convert(from, to, (end - first) * block);
        }
    }
}

void tell_path(const PackedTensor & weight, int thread) {
    SLMPROF_PATH(thread, SLMPROF_PATH_CUSTOM, weight.scheme().number(), 0, weight.scheme().activations());
    (void) weight, (void) thread;
}

// The experts' columns, by expert: behind the converted columns in the work buffer.
struct Routes {
    struct Route {
        int32_t used, token;
    };

    int64_t * counts;  // of each expert
    Route *   routes;  // room for all tokens at each expert
    int64_t   n_room;

    Route & at(int64_t expert, int64_t i) const { return routes[expert * n_room + i]; }
};

size_t converted_bytes(const PackedTensor & weight, const ggml_tensor * activations) {
    const size_t bytes = weight.scheme().column_bytes(activations->ne[0]) * static_cast<size_t>(ggml_nrows(activations));
    return static_cast<size_t>(padded(static_cast<int64_t>(bytes), sizeof(int64_t)));
}

}  // namespace

size_t product_work_bytes(const PackedTensor & weight, const ggml_tensor * op) {
    const size_t converted = converted_bytes(weight, op->src[1]);
    if (op->op == GGML_OP_MUL_MAT) {
        return converted;
    }
    const auto n_experts = static_cast<size_t>(op->src[0]->ne[2]);
    const auto n_routes  = static_cast<size_t>(ggml_nelements(op->src[2]));
    return converted + n_experts * (sizeof(int64_t) + n_routes * sizeof(Routes::Route));
}

void multiply(const PackedTensor & weight, const ggml_compute_params & params, ggml_tensor * op) {
    const ggml_tensor * activations = op->src[1];
    tell_path(weight, params.ith);
    SLMPROF_CONVERT(params.ith);
    convert_columns(weight, params, activations);
    const Chunks chunks(weight, op->src[0]->ne[1], params.nth);
    if (params.ith == 0) {
        ggml_threadpool_chunk_set(params.threadpool, params.nth);
    }
    ggml_barrier(params.threadpool);
    SLMPROF_RESUME(params.ith);

    const Matrix  matrix(weight, op->src[0], 0);
    const Columns all{ static_cast<const char *>(params.wdata), weight.scheme().column_bytes(activations->ne[0]) };
    const size_t  stride = op->nb[1] / sizeof(float);
    for (int64_t chunk = params.ith; chunk < chunks.n; chunk = ggml_threadpool_chunk_add(params.threadpool, 1)) {
        for (int64_t i3 = 0; i3 < op->ne[3]; i3++) {
            for (int64_t i2 = 0; i2 < op->ne[2]; i2++) {
                const Columns plane{ all[(i3 * op->ne[2] + i2) * op->ne[1]], all.bytes };
                matrix.multiply(chunks.first(chunk), chunks.end(chunk), plane, op->ne[1],
                                result_of(op, 0, i2, i3) + chunks.first(chunk), stride);
            }
        }
    }
}

void multiply_experts(const PackedTensor & weight, const ggml_compute_params & params, ggml_tensor * op) {
    const ggml_tensor * activations = op->src[1];
    const ggml_tensor * experts     = op->src[2];
    const int64_t       n_experts   = op->src[0]->ne[2];
    const int64_t       n_routes    = ggml_nelements(experts);
    tell_path(weight, params.ith);
    SLMPROF_ROUTE(params.ith, experts);
    SLMPROF_CONVERT(params.ith);
    convert_columns(weight, params, activations);
    auto *       behind = static_cast<char *>(params.wdata) + converted_bytes(weight, activations);
    const Routes routes{ reinterpret_cast<int64_t *>(behind),
                         reinterpret_cast<Routes::Route *>(behind + static_cast<size_t>(n_experts) * sizeof(int64_t)), n_routes };
    GGML_ASSERT(params.wsize >= product_work_bytes(weight, op));
    if (params.ith == 0) {
        std::fill_n(routes.counts, n_experts, 0);
        for (int64_t token = 0; token < experts->ne[1]; token++) {
            for (int64_t used = 0; used < experts->ne[0]; used++) {
                const auto expert = *reinterpret_cast<const int32_t *>(
                    element(experts, token, 0, 0) + static_cast<size_t>(used) * experts->nb[0]);
                GGML_ASSERT(expert >= 0 && expert < n_experts);
                routes.at(expert, routes.counts[expert]++) = { static_cast<int32_t>(used), static_cast<int32_t>(token) };
            }
        }
        ggml_threadpool_chunk_set(params.threadpool, params.nth);
    }
    ggml_barrier(params.threadpool);
    SLMPROF_RESUME(params.ith);

    const Chunks  chunks(weight, op->src[0]->ne[1], params.nth);
    const Columns all{ static_cast<const char *>(params.wdata), weight.scheme().column_bytes(activations->ne[0]) };
    // A chunk is the same rows of all experts.
    for (int64_t chunk = params.ith; chunk < chunks.n; chunk = ggml_threadpool_chunk_add(params.threadpool, 1)) {
        for (int64_t expert = 0; expert < n_experts; expert++) {
            const Matrix matrix(weight, op->src[0], expert);
            for (int64_t i = 0; i < routes.counts[expert]; i++) {
                const auto [used, token] = routes.at(expert, i);
                // Activations are one column for all experts of a token, or one for each.
                const int64_t column = token * activations->ne[1] + used % activations->ne[1];
                matrix.multiply(chunks.first(chunk), chunks.end(chunk), { all[column], all.bytes }, 1,
                                result_of(op, used, token, 0) + chunks.first(chunk), 0);
            }
        }
    }
}

void look_rows_up(const PackedTensor & weight, const ggml_compute_params & params, ggml_tensor * op) {
    const ggml_tensor * table     = op->src[0];
    const ggml_tensor * rows      = op->src[1];
    const size_t        row_bytes = weight.scheme().row_bytes(table->ne[0]);
    SLMPROF_PATH(params.ith, SLMPROF_PATH_CUSTOM, weight.scheme().number(), 0, 0);
    for (int64_t i = params.ith; i < ggml_nelements(rows); i += params.nth) {
        const int64_t i0  = i % rows->ne[0];
        const int64_t i1  = i / rows->ne[0] % rows->ne[1];
        const int64_t i2  = i / (rows->ne[0] * rows->ne[1]);
        const auto    row = *reinterpret_cast<const int32_t *>(element(rows, i1, i2, 0) + static_cast<size_t>(i0) * rows->nb[0]);
        GGML_ASSERT(row >= 0 && row < table->ne[1]);
        const char * blocks = static_cast<const char *>(table->data) + static_cast<size_t>(row) * row_bytes;
        weight.scheme().functions().unpack(blocks, result_of(op, i0, i1, i2), static_cast<size_t>(table->ne[0] / weight.scheme().block_size()));
    }
}

}  // namespace slmprof
