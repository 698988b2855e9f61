#include "machine/bandwidth_loops.h"
#include "machine/best_run.h"
#include "machine/ceilings.h"
#include "machine/team.h"
#include "record/clock.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

namespace slmprof {
namespace {

constexpr size_t k_part_granule = 6 * k_loop_granule;  // floats; divides among the arrays of every operation
constexpr size_t k_chunk_floats = size_t(1) << 18;     // at least: long enough for the processor's prefetchers

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

// An operation on arrays of n floats, one behind the other. It returns what nobody may optimise away.
struct Operation {
    const char * name;
    size_t       n_arrays;
    uint32_t (*pass)(float * arrays, size_t n, uint32_t zero);

    size_t share_of(size_t n_floats) const { return n_floats / n_arrays / k_loop_granule * k_loop_granule; }
};
constexpr Operation k_operations[] = {
    { "read", 1, [](float * a, size_t n, uint32_t) { return read_once(a, n); } },
    { "copy", 2, [](float * a, size_t n, uint32_t zero) {
         copy_once(a, a + n, n, zero);
         return 0U;
     } },
    { "triad", 3, [](float * a, size_t n, uint32_t) {
         triad_once(a, a + n, a + 2 * n, 0.5f, n);
         return 0U;
     } },
};

// How long the repetitions of one operation took.
class Repetitions {
  public:
    explicit Repetitions(double seconds) : best_(seconds) {}

    void add(int64_t ns) {
        best_.add(ns);
        all_ns_.push_back(ns);
    }

    bool   is_enough() const { return best_.is_enough(); }
    double best_ns() const { return double(best_.ns()); }

    // What a quarter of them did not take: below the middle, because a load on one core disturbs up to half of them.
    double quartile_ns() {
        const auto quarter = all_ns_.begin() + static_cast<std::ptrdiff_t>(all_ns_.size() / 4);
        std::nth_element(all_ns_.begin(), quarter, all_ns_.end());
        return double(*quarter);
    }

  private:
    BestRun              best_;
    std::vector<int64_t> all_ns_;
};

// Passes of all threads together; a repetition is as many as are long beside the clock's reading.
class BandwidthMeter {
  public:
    BandwidthMeter(size_t n_floats, int n_threads, const Cores & cores, double seconds)
        : n_floats_(n_floats), cores_(cores), seconds_(seconds), meeting_(n_threads), spans_(static_cast<size_t>(n_threads)),
          repetitions_(seconds) {
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
                n_passes_    = 1;
                n_chunks_    = 1;
                chunk_       = 0;
                repetitions_ = Repetitions(seconds_);
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
                const size_t n     = operation.share_of(chunk_floats()) * operation.n_arrays;
                const double bytes = double(n * sizeof(float)) * double(n_passes_) * double(spans_.size());
                records_.push_back({ operation.name, bytes / typical_ns() });
            }
        }
    }

    // A pass over a large part is cut into repetitions, and memory gives the best of these more than it gives a
    // whole pass.
    double typical_ns() { return n_chunks_ > 1 ? repetitions_.quartile_ns() : repetitions_.best_ns(); }

    size_t chunk_floats() const { return n_floats_ / n_chunks_ / k_part_granule * k_part_granule; }

    void repeat(const Operation & operation, float * part, Span & span) {
        part += chunk_ * chunk_floats();
        const size_t n = operation.share_of(chunk_floats());
        span.begin_ns = monotonic_ns();
        uint32_t sum  = 0;
        for (int64_t i = 0; i < n_passes_; i++) {
            sum += operation.pass(part, n, zero_.load(std::memory_order_relaxed));
        }
        span.end_ns = monotonic_ns();
        sink_.fetch_xor(sum, std::memory_order_relaxed);
    }

    void judge(bool is_first) {
        const int64_t elapsed_ns = elapsed_together(spans_);
        if (is_first) {
            n_passes_ = std::clamp<int64_t>(2 * k_repetition_ns / elapsed_ns, 1, 1'000'000);
            n_chunks_ = std::clamp<size_t>(static_cast<size_t>(elapsed_ns / (2 * k_repetition_ns)), 1,
                                           std::max<size_t>(n_floats_ / k_chunk_floats, 1));
        } else {
            repetitions_.add(elapsed_ns);
            chunk_ = (chunk_ + 1) % n_chunks_;  // before a chunk's turn comes again, all others have had theirs
        }
        go_on_ = is_first || !repetitions_.is_enough();
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
    Repetitions                  repetitions_;
    std::atomic<uint32_t>        zero_{ 0 };
    std::atomic<uint32_t>        sink_{ 0 };
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

}  // namespace slmprof
