#include "kernels/ggml_functions.h"

#include "gguf/header.h"

#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml.h"
#if SLMPROF_GGML_LLAMAFILE
#    include "llamafile/sgemm.h"
#endif

#include <cstring>
#include <memory>
#include <stdexcept>

namespace slmprof {
namespace {

ggml_type as_type(int type) { return static_cast<ggml_type>(type); }

int find_type(const char * name) {
    try {
        return tensor_type_from_name(name);
    } catch (const std::invalid_argument &) {
        return -1;
    }
}

size_t block_size(int type) { return static_cast<size_t>(ggml_blck_size(as_type(type))); }
size_t row_bytes(int type, size_t n) { return ggml_row_size(as_type(type), static_cast<int64_t>(n)); }

void quantize(int type, const float * weights, void * blocks, size_t n_rows, size_t n, const float * importance) {
    ggml_quantize_chunk(as_type(type), weights, blocks, 0, static_cast<int64_t>(n_rows), static_cast<int64_t>(n), importance);
}

// For float32 ggml has no functions.
void dequantize(int type, const void * blocks, float * weights, size_t n) {
    if (type == GGML_TYPE_F32) {
        std::memcpy(weights, blocks, n * sizeof(float));
        return;
    }
    ggml_get_type_traits(as_type(type))->to_float(blocks, weights, static_cast<int64_t>(n));
}

int activations_of(int type) { return ggml_get_type_traits_cpu(as_type(type))->vec_dot_type; }

void convert(int type, const float * values, void * activations, size_t n) {
    if (type == GGML_TYPE_F32) {
        std::memcpy(activations, values, n * sizeof(float));
        return;
    }
    ggml_get_type_traits_cpu(as_type(type))->from_float(values, activations, static_cast<int64_t>(n));
}

void dot(int type, size_t n, const void * row, const void * activations, float * result) {
    ggml_get_type_traits_cpu(as_type(type))->vec_dot(static_cast<int>(n), result, 0, row, 0, activations, 0, 1);
}

#if SLMPROF_GGML_LLAMAFILE
struct PoolDeleter {
    void operator()(ggml_threadpool * pool) const { ggml_threadpool_free(pool); }
};

// llamafile's products divide themselves among the threads of a pool; here each thread has a product of its own.
ggml_threadpool * own_pool() {
    thread_local const std::unique_ptr<ggml_threadpool, PoolDeleter> pool = [] {
        ggml_threadpool_params params = ggml_threadpool_params_default(1);
        return std::unique_ptr<ggml_threadpool, PoolDeleter>(ggml_threadpool_new(&params));
    }();
    return pool.get();
}
#endif

int gemm(int type, size_t n, size_t n_rows, const void * rows, size_t n_columns, const void * activations, float * results,
         size_t stride) {
#if SLMPROF_GGML_LLAMAFILE
    const auto          column_type = as_type(activations_of(type));
    ggml_compute_params params      = {};
    params.nth        = 1;
    params.threadpool = own_pool();
    const auto blocks = [n](ggml_type of) { return static_cast<int64_t>(n) / ggml_blck_size(of); };
    return llamafile_sgemm(&params, static_cast<int64_t>(n_rows), static_cast<int64_t>(n_columns), blocks(as_type(type)), rows,
                           blocks(as_type(type)), activations, blocks(column_type), results, static_cast<int64_t>(stride), type,
                           column_type, GGML_TYPE_F32)
               ? 1
               : 0;
#else
    (void) type, (void) n, (void) n_rows, (void) rows, (void) n_columns, (void) activations, (void) results, (void) stride;
    return 0;
#endif
}

}  // namespace

const slmprof_ggml * ggml_functions() {
    static const slmprof_ggml functions = { SLMPROF_SCHEME_ABI, find_type,      block_size, row_bytes, quantize,
                                            dequantize,         activations_of, convert,    dot,       gemm };
    static const bool is_ready = (ggml_cpu_init(), true);  // its tables, which a model would fill
    (void) is_ready;
    return &functions;
}

}  // namespace slmprof
