// Threads that measure something together: they begin at the same time, and the last one's end counts.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <thread>
#include <vector>

namespace slmprof {

constexpr int64_t k_repetition_ns = 200'000;  // so long that reading the clock and starting together do not count

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
inline void run_together(int n_threads, const std::function<void(int)> & work) {
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
    int64_t begin_ns = 0, end_ns = 0;
};

// From the first one's begin to the last one's end; at least a nanosecond.
inline int64_t elapsed_together(const std::vector<Span> & spans) {
    Span all{ std::numeric_limits<int64_t>::max(), 0 };
    for (const Span & span : spans) {
        all.begin_ns = std::min(all.begin_ns, span.begin_ns);
        all.end_ns   = std::max(all.end_ns, span.end_ns);
    }
    return std::max<int64_t>(all.end_ns - all.begin_ns, 1);
}

}  // namespace slmprof
