#include "machine/best_run.h"
#include "machine/ceilings.h"
#include "record/clock.h"
#include "engine/backends.h"
#include "gguf/header.h"
#include "gguf/random_blocks.h"

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace slmprof {
namespace {

constexpr int64_t k_rows_of_thread = 192;      // ggml hands out 64 rows at a time: three chunks for each thread
constexpr int64_t k_row_granule    = 256;      // values; a multiple of every type's block
constexpr int64_t k_longest_row    = 4096;
constexpr int64_t k_most_products  = 32;       // in one graph
constexpr int     k_n_idle_ops     = 250;  // in one graph: long beside its start, short beside a slice of time

struct PoolDeleter {
    void operator()(ggml_threadpool * pool) const { ggml_threadpool_free(pool); }
};

// Of as many tensors, and a graph of them.
ggml_context_ptr make_context(size_t n_tensors) { return make_header_context(n_tensors, n_tensors); }

ggml_backend_buffer_ptr allocate(ggml_context * context, ggml_backend_buffer_type_t type) {
    ggml_backend_buffer_ptr buffer(ggml_backend_alloc_ctx_tensors_from_buft(context, type));
    if (!buffer) {
        throw std::bad_alloc();
    }
    return buffer;
}

// The CPU backend with a pool of threads that outlives a graph, so that none is started in one.
class CpuBackend {
  public:
    CpuBackend(int n_threads, const Cores & cores) {
        initialize_backends();
        ggml_threadpool_params params = ggml_threadpool_params_default(n_threads);
        for (const int core : cores) {
            if (core >= 0 && core < GGML_MAX_N_THREADS) {
                params.cpumask[core] = true;
                params.strict_cpu    = true;  // one core for each thread, in turn
            }
        }
        pool_.reset(ggml_threadpool_new(&params));
        backend_.reset(ggml_backend_cpu_init());
        if (!pool_ || !backend_) {
            throw std::runtime_error("ggml has no CPU backend");
        }
        ggml_backend_cpu_set_n_threads(backend_.get(), n_threads);
        ggml_backend_cpu_set_threadpool(backend_.get(), pool_.get());
    }

    ggml_backend_dev_t device() const { return ggml_backend_get_device(backend_.get()); }

    // The plain buffer type first, then those that store matrices in an order of their own.
    std::vector<ggml_backend_buffer_type_t> matrix_buffer_types() const {
        std::vector<ggml_backend_buffer_type_t> types = extra_buffer_types(device());
        types.insert(types.begin(), ggml_backend_cpu_buffer_type());
        return types;
    }

    int64_t compute_ns(ggml_cgraph * graph) const {
        const int64_t begin_ns = monotonic_ns();
        if (ggml_backend_graph_compute(backend_.get(), graph) != GGML_STATUS_SUCCESS) {
            throw std::runtime_error("ggml could not compute a graph");
        }
        return std::max<int64_t>(monotonic_ns() - begin_ns, 1);
    }

    int64_t best_ns(ggml_cgraph * graph, double seconds) const {
        BestRun best(seconds);
        do {
            best.add(compute_ns(graph));  // the first one warms up
        } while (!best.is_enough());
        return best.ns();
    }

  private:
    std::unique_ptr<ggml_threadpool, PoolDeleter> pool_;
    ggml_backend_ptr                              backend_;  // goes first: it knows the pool
};

bool has_product(ggml_type type) {
    const bool is_activation = type == GGML_TYPE_Q8_1 || type == GGML_TYPE_Q8_K;  // never a matrix
    return ggml_blck_size(type) > 0 && k_row_granule % ggml_blck_size(type) == 0 && !is_activation &&
           ggml_get_type_traits_cpu(type)->vec_dot != nullptr;
}

// Types whose quantizer takes seconds to set up its tables of codes.
bool is_slow_to_quantize(ggml_type type) {
    return type == GGML_TYPE_IQ1_S || type == GGML_TYPE_IQ1_M || type == GGML_TYPE_IQ2_XXS || type == GGML_TYPE_IQ2_XS ||
           type == GGML_TYPE_IQ2_S || type == GGML_TYPE_IQ3_XXS || type == GGML_TYPE_IQ3_S;
}

std::vector<float> normal_values(Random random, int64_t n) {
    std::vector<float> values(static_cast<size_t>(n));
    std::generate(values.begin(), values.end(), [&random] { return random.normal(); });
    return values;
}

// A matrix whose rows are few random ones in turn. The time of a product does not depend on the
// values, so random bytes do where random numbers would take long to quantize: all codes of these
// types are valid, and the factor of a block is an f16, which is never a subnormal f32.
std::vector<uint8_t> make_matrix(ggml_type type, int64_t n_values, int64_t n_rows) {
    constexpr int64_t    k_different_rows = 2;
    const size_t         row_bytes        = ggml_row_size(type, n_values);
    const int64_t        n_made           = std::min(k_different_rows, n_rows);
    Random               random(mix_seeds(1, static_cast<uint64_t>(type)));
    std::vector<uint8_t> matrix(row_bytes * static_cast<size_t>(n_rows));
    if (is_slow_to_quantize(type)) {
        std::generate_n(matrix.begin(), row_bytes * static_cast<size_t>(n_made),
                        [&random] { return static_cast<uint8_t>(random.next()); });
    } else {
        const std::vector<float> values = normal_values(random, n_made * n_values);
        const std::vector<float> importance(static_cast<size_t>(n_values), 1.0f);
        ggml_quantize_chunk(type, values.data(), matrix.data(), 0, n_made, n_values,
                            ggml_quantize_requires_imatrix(type) ? importance.data() : nullptr);
    }
    for (int64_t row = n_made; row < n_rows; row++) {
        std::memcpy(matrix.data() + row_bytes * static_cast<size_t>(row),
                    matrix.data() + row_bytes * static_cast<size_t>(row % n_made), row_bytes);
    }
    return matrix;
}

std::string impl_name(ggml_backend_buffer_type_t type) {
    if (type == ggml_backend_cpu_buffer_type()) {
        return "plain";
    }
    const std::string name = ggml_backend_buft_name(type);
    return name == "CPU_REPACK" ? "repack" : name;
}

// A matrix in a buffer, and graphs of products with it.
class ProductBench {
  public:
    ProductBench(const CpuBackend & backend, ggml_backend_buffer_type_t buffer_type, ggml_type type, int64_t n_inner,
                 int64_t n_rows)
        : backend_(backend), context_(make_context(1)),
          matrix_(ggml_new_tensor_2d(context_.get(), type, n_inner, n_rows)),
          buffer_(allocate(context_.get(), buffer_type)) {}

    // Whether this buffer type has a product for the matrix; nothing else may be called if not.
    bool is_supported() const {
        const ggml_context_ptr context = make_context(2);
        ggml_tensor * columns = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, matrix_->ne[0], 1);
        return ggml_backend_dev_supports_op(backend_.device(), ggml_mul_mat(context.get(), matrix_, columns));
    }

    void fill(const std::vector<uint8_t> & contents) {
        ggml_backend_tensor_set(matrix_, contents.data(), 0, contents.size());
    }

    double best_gflops(int n_columns, double seconds) const {
        const double operations = 2.0 * double(matrix_->ne[0]) * double(matrix_->ne[1]) * double(n_columns);
        // One product tells how many make a graph that is long enough, and short enough to repeat.
        const double one_ns     = double(best_ns(n_columns, 1, seconds / 10));
        const double longest_ns = std::min(seconds * 1e9 / 8, 2e6);
        const auto   n_products = static_cast<int64_t>(std::min(longest_ns / one_ns, double(k_most_products)));
        if (n_products <= 1) {
            return operations / std::min(one_ns, double(best_ns(n_columns, 1, seconds)));
        }
        return operations * double(n_products) / double(best_ns(n_columns, n_products, seconds));
    }

  private:
    int64_t best_ns(int n_columns, int64_t n_products, double seconds) const {
        const ggml_context_ptr context = make_context(static_cast<size_t>(n_products) + 1);
        ggml_tensor * columns = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, matrix_->ne[0], n_columns);
        ggml_cgraph * graph   = ggml_new_graph_custom(context.get(), static_cast<size_t>(n_products + 1), false);
        for (int64_t i = 0; i < n_products; i++) {
            ggml_build_forward_expand(graph, ggml_mul_mat(context.get(), matrix_, columns));
        }
        const ggml_backend_buffer_ptr buffer = allocate(context.get(), ggml_backend_cpu_buffer_type());
        const std::vector<float> values = normal_values(Random(2), ggml_nelements(columns));
        ggml_backend_tensor_set(columns, values.data(), 0, ggml_nbytes(columns));
        return backend_.best_ns(graph, seconds);
    }

    const CpuBackend & backend_;
    ggml_context_ptr        context_;
    ggml_tensor *      matrix_;
    ggml_backend_buffer_ptr buffer_;
};

}  // namespace

std::vector<std::string> arithmetic_types() {
    initialize_backends();
    std::vector<std::string> names;
    for (int i = 0; i < GGML_TYPE_COUNT; i++) {
        const auto type = static_cast<ggml_type>(i);
        if (ggml_type_name(type) != nullptr && has_product(type)) {
            names.emplace_back(ggml_type_name(type));
        }
    }
    return names;
}

std::vector<ArithmeticRecord> measure_arithmetic(const std::string & type, const std::vector<int> & n_columns,
                                                 int n_threads, const Cores & cores,
                                                 uint64_t matrix_bytes_per_thread, double seconds) {
    check_threads(n_threads);
    check_seconds(seconds);
    if (std::any_of(n_columns.begin(), n_columns.end(), [](int n) { return n < 1 || n > 4096; })) {
        throw std::invalid_argument("n_columns must lie between 1 and 4096");
    }
    const ggml_type matrix_type = tensor_type_from_name(find_named(
        "matrix product of type", type, arithmetic_types(), [](const std::string & known) { return known; }));
    const int64_t   n_rows      = k_rows_of_thread * n_threads;
    const double    row_values  = double(std::min<uint64_t>(matrix_bytes_per_thread, uint64_t(1) << 40)) /
                                  double(k_rows_of_thread) * double(ggml_blck_size(matrix_type)) /
                                  double(ggml_type_size(matrix_type));
    const int64_t n_inner =
        static_cast<int64_t>(std::clamp(row_values, double(k_row_granule), double(k_longest_row))) / k_row_granule *
        k_row_granule;
    const std::vector<uint8_t> contents = make_matrix(matrix_type, n_inner, n_rows);
    return apart([&] {
        const CpuBackend              backend(n_threads, cores);
        std::vector<ArithmeticRecord> records;
        for (ggml_backend_buffer_type_t buffer_type : backend.matrix_buffer_types()) {
            ProductBench bench(backend, buffer_type, matrix_type, n_inner, n_rows);
            if (!bench.is_supported()) {
                continue;
            }
            bench.fill(contents);
            for (const int n : n_columns) {
                records.push_back({ n, impl_name(buffer_type), bench.best_gflops(n, seconds) });
            }
        }
        return records;
    });
}

double measure_op_ns(int n_threads, const Cores & cores, double seconds) {
    check_threads(n_threads);
    check_seconds(seconds);
    const ggml_context_ptr context = make_context(k_n_idle_ops + 2);
    ggml_tensor * one     = ggml_new_tensor_1d(context.get(), GGML_TYPE_F32, 1);
    ggml_tensor * sum     = one;
    for (int i = 0; i < k_n_idle_ops; i++) {
        sum = ggml_add(context.get(), sum, one);
    }
    ggml_cgraph * graph = ggml_new_graph_custom(context.get(), k_n_idle_ops + 2, false);
    ggml_build_forward_expand(graph, sum);
    return apart([&] {
        const CpuBackend backend(n_threads, cores);
        const ggml_backend_buffer_ptr buffer = allocate(context.get(), ggml_backend_cpu_buffer_type());
        const float      value  = 1.0f;
        ggml_backend_tensor_set(one, &value, 0, sizeof(value));
        return double(backend.best_ns(graph, seconds)) / k_n_idle_ops;
    });
}

}  // namespace slmprof
