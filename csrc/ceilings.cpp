#include "ceilings.h"

#include "bandwidth_loops.h"
#include "clock.h"
#include "llama_params.h"
#include "random_blocks.h"

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <system_error>
#include <thread>

#ifdef __linux__
#    include <pthread.h>
#    include <sched.h>
#endif

namespace slmprof {

namespace {

constexpr int     k_max_threads    = 512;      // GGML_MAX_N_THREADS
constexpr int64_t k_repetition_ns  = 200'000;  // so long that reading the clock and starting together do not count
constexpr int64_t k_rows_of_thread = 192;      // ggml hands out 64 rows at a time: three chunks for each thread
constexpr int64_t k_row_granule    = 256;      // values; a multiple of every type's block
constexpr int64_t k_longest_row    = 4096;
constexpr int64_t k_most_products  = 32;       // in one graph
constexpr size_t  k_part_granule   = 6 * k_loop_granule;  // floats; divides among the arrays of every operation
constexpr size_t  k_chunk_floats   = size_t(1) << 18;     // at least: long enough for the processor's prefetchers
constexpr int     k_n_idle_ops     = 250;  // in one graph: long beside its start, short beside a slice of time

// The shortest of repeated runs, and whether there have been enough of them: the time is up, and
// the shortest is no single stroke of luck. Where another load leaves few undisturbed runs, the time
// is stretched.
class BestRun {
  public:
    explicit BestRun(double seconds) : begin_ns_(monotonic_ns()), budget_ns_(static_cast<int64_t>(seconds * 1e9)) {}

    void add(int64_t ns) {
        if (ns < best_ns_ - best_ns_ / k_nearness) {
            n_near_ = 0;
        }
        best_ns_ = std::min(best_ns_, ns);
        n_near_ += ns <= best_ns_ + best_ns_ / k_nearness;
    }

    bool is_enough() const {
        const int64_t elapsed_ns = monotonic_ns() - begin_ns_;
        return elapsed_ns >= budget_ns_ && (n_near_ >= k_enough_runs || elapsed_ns >= k_stretch * budget_ns_);
    }

    int64_t ns() const { return best_ns_; }

  private:
    static constexpr int64_t k_nearness    = 25;  // runs differ by less than a 25th
    static constexpr int     k_enough_runs = 3;
    static constexpr int64_t k_stretch     = 3;

    int64_t begin_ns_;
    int64_t budget_ns_;
    int64_t best_ns_ = std::numeric_limits<int64_t>::max() / 2;
    int     n_near_  = 0;
};

// Binds the calling thread to a core; where that cannot be done it stays free.
void stay_on(int core) {
#ifdef __linux__
    cpu_set_t set;
    CPU_ZERO(&set);
    if (core >= 0 && core < CPU_SETSIZE) {
        CPU_SET(static_cast<size_t>(core), &set);
        pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
    }
#else
    (void) core;
#endif
}

// Runs `work` on a thread of its own, so that the caller's keeps the cores that it may use.
template <typename Work> auto apart(const Work & work) -> decltype(work()) {
    decltype(work())   result{};
    std::exception_ptr error;
    std::thread        thread([&] {
        try {
            result = work();
        } catch (...) {
            error = std::current_exception();
        }
    });
    thread.join();
    if (error) {
        std::rethrow_exception(error);
    }
    return result;
}

//
// bandwidth
//

struct Free {
    void operator()(float * memory) const { std::free(memory); }
};
using Floats = std::unique_ptr<float[], Free>;

Floats allocate_floats(size_t n) {
    constexpr size_t k_page = 4096;
    const size_t     bytes  = (n * sizeof(float) + k_page - 1) / k_page * k_page;
    Floats           memory(static_cast<float *>(std::aligned_alloc(k_page, bytes)));
    if (!memory) {
        throw std::bad_alloc();
    }
    return memory;
}

// Where threads wait for each other. They spin, as ggml's do, but give way where cores are short.
class Meeting {
  public:
    explicit Meeting(int n_threads) : n_threads_(n_threads) {}

    void wait() {
        const int round = round_.load(std::memory_order_relaxed);
        if (n_here_.fetch_add(1) + 1 == n_threads_) {
            n_here_.store(0);
            round_.store(round + 1);
            return;
        }
        for (int n_spins = 0; round_.load() == round; n_spins++) {
            if (n_spins > 10'000) {
                std::this_thread::yield();
            }
        }
    }

  private:
    const int        n_threads_;
    std::atomic<int> n_here_{ 0 };
    std::atomic<int> round_{ 0 };
};

// Runs work(0) here and work(1 …) on threads of their own, all or, where one cannot be had, none.
void run_together(int n_threads, const std::function<void(int)> & work) {
    enum { k_hold, k_go, k_cancel };
    std::atomic<int>         signal{ k_hold };
    std::vector<std::thread> others;
    const auto               finish = [&](int how) {
        signal = how;
        if (how == k_go) {
            work(0);
        }
        for (std::thread & other : others) {
            other.join();
        }
    };
    try {
        for (int i = 1; i < n_threads; i++) {
            others.emplace_back([&signal, &work, i] {
                while (signal == k_hold) {
                    std::this_thread::yield();
                }
                if (signal == k_go) {
                    work(i);
                }
            });
        }
    } catch (...) {
        finish(k_cancel);
        throw;
    }
    finish(k_go);
}

struct Span {
    int64_t begin_ns = 0;
    int64_t end_ns   = 0;
};

// One operation on one thread's part. Returns what nobody may optimise away.
using Pass = uint32_t (*)(float * part, size_t n_floats, uint32_t zero);

size_t share_of(size_t n_floats, size_t n_arrays) {
    return n_floats / n_arrays / k_loop_granule * k_loop_granule;
}

uint32_t read_pass(float * part, size_t n_floats, uint32_t /*zero*/) {
    return read_once(part, share_of(n_floats, 1));
}

uint32_t copy_pass(float * part, size_t n_floats, uint32_t zero) {
    const size_t n = share_of(n_floats, 2);
    copy_once(part, part + n, n, zero);
    return 0;
}

uint32_t triad_pass(float * part, size_t n_floats, uint32_t /*zero*/) {
    const size_t n = share_of(n_floats, 3);
    triad_once(part, part + n, part + 2 * n, 0.5f, n);
    return 0;
}

struct Operation {
    const char * name;
    size_t       n_arrays;
    Pass         pass;
};
constexpr Operation k_operations[] = { { "read", 1, read_pass }, { "copy", 2, copy_pass }, { "triad", 3, triad_pass } };

// Passes of all threads together; a repetition is as many as are long beside the clock's reading.
class BandwidthMeter {
  public:
    BandwidthMeter(size_t n_floats, int n_threads, const Cores & cores, double seconds)
        : n_floats_(n_floats), cores_(cores), seconds_(seconds), meeting_(n_threads), spans_(static_cast<size_t>(n_threads)),
          best_(seconds) {
        for (int i = 0; i < n_threads; i++) {
            parts_.push_back(allocate_floats(n_floats));
        }
    }

    std::vector<BandwidthRecord> run() {
        run_together(static_cast<int>(parts_.size()), [this](int thread) { work(thread); });
        return std::move(records_);
    }

  private:
    void work(int thread) {
        if (!cores_.empty()) {
            stay_on(cores_[static_cast<size_t>(thread) % cores_.size()]);
        }
        float * part = parts_[static_cast<size_t>(thread)].get();
        // Written first by the thread that uses it: on machines of several nodes it is then near.
        std::fill_n(part, n_floats_, 1.0f);
        for (const Operation & operation : k_operations) {
            if (thread == 0) {
                n_passes_ = 1;
                n_chunks_ = 1;
                chunk_    = 0;
                best_     = BestRun(seconds_);
            }
            meeting_.wait();
            // The first repetition warms up and says how many passes make one long enough, or into
            // how many chunks a part is cut where a pass is so long that others would disturb it.
            for (bool is_first = true; go_on_ || is_first; is_first = false) {
                repeat(operation, part, spans_[static_cast<size_t>(thread)]);
                meeting_.wait();
                if (thread == 0) {
                    judge(is_first);
                }
                meeting_.wait();
            }
            if (thread == 0) {
                const size_t n     = share_of(chunk_floats(), operation.n_arrays) * operation.n_arrays;
                const double bytes = double(n * sizeof(float)) * double(n_passes_) * double(spans_.size());
                records_.push_back({ operation.name, bytes / double(best_.ns()) });
            }
        }
    }

    size_t chunk_floats() const { return n_floats_ / n_chunks_ / k_part_granule * k_part_granule; }

    void repeat(const Operation & operation, float * part, Span & span) {
        const size_t n = chunk_floats();
        part += chunk_ * n;
        span.begin_ns = monotonic_ns();
        uint32_t sum  = 0;
        for (int64_t i = 0; i < n_passes_; i++) {
            sum += operation.pass(part, n, zero_.load(std::memory_order_relaxed));
        }
        span.end_ns = monotonic_ns();
        sink_.fetch_xor(sum, std::memory_order_relaxed);
    }

    void judge(bool is_first) {
        Span all{ std::numeric_limits<int64_t>::max(), 0 };
        for (const Span & span : spans_) {
            all.begin_ns = std::min(all.begin_ns, span.begin_ns);
            all.end_ns   = std::max(all.end_ns, span.end_ns);
        }
        const int64_t elapsed_ns = std::max<int64_t>(all.end_ns - all.begin_ns, 1);
        if (is_first) {
            n_passes_ = std::clamp<int64_t>(2 * k_repetition_ns / elapsed_ns, 1, 1'000'000);
            n_chunks_ = std::clamp<size_t>(static_cast<size_t>(elapsed_ns / (2 * k_repetition_ns)), 1,
                                           std::max<size_t>(n_floats_ / k_chunk_floats, 1));
        } else {
            best_.add(elapsed_ns);
            chunk_ = (chunk_ + 1) % n_chunks_;  // before a chunk's turn comes again, all others have had theirs
        }
        go_on_ = is_first || !best_.is_enough();
    }

    const size_t                 n_floats_;  // of each thread
    const Cores                  cores_;
    const double                 seconds_;   // for each operation
    Meeting                      meeting_;
    std::vector<Span>            spans_;
    std::vector<Floats>          parts_;
    std::vector<BandwidthRecord> records_;
    // Written by thread 0 between two meetings, read by all after the second.
    int64_t                      n_passes_ = 1;
    size_t                       n_chunks_ = 1;
    size_t                       chunk_    = 0;
    bool                         go_on_    = true;
    BestRun                      best_;
    std::atomic<uint32_t>        zero_{ 0 };
    std::atomic<uint32_t>        sink_{ 0 };
};

void check_threads(int n_threads) {
    if (n_threads < 1 || n_threads > k_max_threads) {
        throw std::invalid_argument("n_threads must lie between 1 and " + std::to_string(k_max_threads));
    }
}

void check_seconds(double seconds) {
    if (!(seconds >= 0 && seconds <= 3600)) {
        throw std::invalid_argument("seconds must lie between 0 and 3600");
    }
}

//
// graphs on the CPU backend
//

struct ContextDeleter {
    void operator()(ggml_context * context) const { ggml_free(context); }
};
struct BufferDeleter {
    void operator()(ggml_backend_buffer * buffer) const { ggml_backend_buffer_free(buffer); }
};
struct BackendDeleter {
    void operator()(ggml_backend * backend) const { ggml_backend_free(backend); }
};
struct PoolDeleter {
    void operator()(ggml_threadpool * pool) const { ggml_threadpool_free(pool); }
};
using Context = std::unique_ptr<ggml_context, ContextDeleter>;
using Buffer  = std::unique_ptr<ggml_backend_buffer, BufferDeleter>;

Context make_context(int64_t n_tensors) {
    ggml_init_params params = {};
    params.mem_size         = ggml_tensor_overhead() * static_cast<size_t>(n_tensors) +
                              ggml_graph_overhead_custom(static_cast<size_t>(n_tensors), false);
    params.no_alloc = true;
    Context context(ggml_init(params));
    if (!context) {
        throw std::bad_alloc();
    }
    return context;
}

Buffer allocate(ggml_context * context, ggml_backend_buffer_type_t type) {
    Buffer buffer(ggml_backend_alloc_ctx_tensors_from_buft(context, type));
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
        std::vector<ggml_backend_buffer_type_t> types = { ggml_backend_cpu_buffer_type() };
        auto * get_extra = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(ggml_backend_reg_get_proc_address(
            ggml_backend_dev_backend_reg(device()), "ggml_backend_dev_get_extra_bufts"));
        if (get_extra != nullptr) {
            for (ggml_backend_buffer_type_t * extra = get_extra(device()); extra != nullptr && *extra != nullptr;
                 extra++) {
                types.push_back(*extra);
            }
        }
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
    std::unique_ptr<ggml_backend, BackendDeleter> backend_;  // goes first: it knows the pool
};

//
// arithmetic
//

bool has_product(ggml_type type) {
    const bool is_activation = type == GGML_TYPE_Q8_1 || type == GGML_TYPE_Q8_K;  // never a matrix
    return ggml_blck_size(type) > 0 && k_row_granule % ggml_blck_size(type) == 0 && !is_activation &&
           ggml_get_type_traits_cpu(type)->vec_dot != nullptr;
}

ggml_type product_type(const std::string & name) {
    initialize_backends();
    for (int i = 0; i < GGML_TYPE_COUNT; i++) {
        const auto   type  = static_cast<ggml_type>(i);
        const char * known = ggml_type_name(type);
        if (known != nullptr && name == known && has_product(type)) {
            return type;
        }
    }
    throw std::invalid_argument("no matrix product of type '" + name + "'");
}

// Types whose quantizer takes seconds to set up its tables of codes.
bool is_slow_to_quantize(ggml_type type) {
    return type == GGML_TYPE_IQ1_S || type == GGML_TYPE_IQ1_M || type == GGML_TYPE_IQ2_XXS ||
           type == GGML_TYPE_IQ2_XS || type == GGML_TYPE_IQ2_S || type == GGML_TYPE_IQ3_XXS ||
           type == GGML_TYPE_IQ3_S;
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
        std::vector<float> values(static_cast<size_t>(n_made * n_values));
        std::generate(values.begin(), values.end(), [&random] { return random.normal(); });
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
        const Context context = make_context(2);
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
        const Context context = make_context(n_products + 1);
        ggml_tensor * columns = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, matrix_->ne[0], n_columns);
        ggml_cgraph * graph   = ggml_new_graph_custom(context.get(), static_cast<size_t>(n_products + 1), false);
        for (int64_t i = 0; i < n_products; i++) {
            ggml_build_forward_expand(graph, ggml_mul_mat(context.get(), matrix_, columns));
        }
        const Buffer       buffer = allocate(context.get(), ggml_backend_cpu_buffer_type());
        Random             random(2);
        std::vector<float> values(static_cast<size_t>(ggml_nelements(columns)));
        std::generate(values.begin(), values.end(), [&random] { return random.normal(); });
        ggml_backend_tensor_set(columns, values.data(), 0, ggml_nbytes(columns));
        return backend_.best_ns(graph, seconds);
    }

    const CpuBackend & backend_;
    Context            context_;
    ggml_tensor *      matrix_;
    Buffer             buffer_;
};

}  // namespace

std::vector<BandwidthRecord> measure_bandwidth(uint64_t working_set_bytes, int n_threads, const Cores & cores,
                                               double seconds) {
    check_threads(n_threads);
    check_seconds(seconds);
    const size_t n_floats =
        working_set_bytes / sizeof(float) / static_cast<size_t>(n_threads) / k_part_granule * k_part_granule;
    if (n_floats == 0 || working_set_bytes > uint64_t(1) << 46) {
        throw std::invalid_argument("a working set of " + std::to_string(working_set_bytes) +
                                    " bytes is too small or too large for " + std::to_string(n_threads) + " threads");
    }
    return apart([&] { return BandwidthMeter(n_floats, n_threads, cores, seconds).run(); });
}

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
    for (const int n : n_columns) {
        if (n < 1 || n > 4096) {
            throw std::invalid_argument("n_columns must lie between 1 and 4096");
        }
    }
    const ggml_type matrix_type = product_type(type);
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
    const Context context = make_context(k_n_idle_ops + 2);
    ggml_tensor * one     = ggml_new_tensor_1d(context.get(), GGML_TYPE_F32, 1);
    ggml_tensor * sum     = one;
    for (int i = 0; i < k_n_idle_ops; i++) {
        sum = ggml_add(context.get(), sum, one);
    }
    ggml_cgraph * graph = ggml_new_graph_custom(context.get(), k_n_idle_ops + 2, false);
    ggml_build_forward_expand(graph, sum);
    return apart([&] {
        const CpuBackend backend(n_threads, cores);
        const Buffer     buffer = allocate(context.get(), ggml_backend_cpu_buffer_type());
        const float      value  = 1.0f;
        ggml_backend_tensor_set(one, &value, 0, sizeof(value));
        return double(backend.best_ns(graph, seconds)) / k_n_idle_ops;
    });
}

}  // namespace slmprof
