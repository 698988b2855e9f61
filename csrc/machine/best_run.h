// What the measurements of ceilings share: repeated runs of which the best one counts, on threads that
// stay where they are.

#pragma once

#include "record/clock.h"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>

#ifdef __linux__
#    include <pthread.h>
#    include <sched.h>
#endif

namespace slmprof {

constexpr int     k_max_threads    = 512;      // GGML_MAX_N_THREADS

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
inline void stay_on(int core) {
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

inline void check_threads(int n_threads) {
    if (n_threads < 1 || n_threads > k_max_threads) {
        throw std::invalid_argument("n_threads must lie between 1 and " + std::to_string(k_max_threads));
    }
}

inline void check_seconds(double seconds) {
    if (!(seconds >= 0 && seconds <= 3600)) {
        throw std::invalid_argument("seconds must lie between 0 and 3600");
    }
}

}  // namespace slmprof
