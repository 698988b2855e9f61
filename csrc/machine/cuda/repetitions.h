// Repetitions of work on a device, each as long as its own clock says.

#pragma once

#include "machine/cuda/runtime.h"
#include "record/clock.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace slmprof::cuda {

// How long some repetitions took, each of `n_loops`, in nanoseconds, the shortest first.
struct Repetitions {
    std::vector<double> sorted_ns;
    int64_t             n_loops = 1;

    double median_ns() const { return sorted_ns[sorted_ns.size() / 2] / double(n_loops); }
    // What a quarter of them did not take.
    double quartile_ns() const { return sorted_ns[sorted_ns.size() / 4] / double(n_loops); }
};

constexpr double k_repetition_ns  = 2e6;  // beside it, what an event and a launch take does not count
constexpr size_t k_fewest         = 9;
constexpr double k_least_ns       = 100;  // events are no finer
constexpr double k_most_growth    = 100;
constexpr double k_longest_warmup = 1e9;
constexpr int    k_steady         = 5;    // so many repetitions without a faster one, and the clocks have risen
constexpr double k_faster         = 0.99;

// Runs `launch(stream, n_loops)`, which puts work on a stream, for about `seconds`: first until it is long enough
// and does not get faster, because an idle device has lowered its clocks.
template <typename Launch> Repetitions repeat(cudaStream_t stream, double seconds, const Launch & launch) {
    const Event begin, end;
    const auto  elapsed_ns = [&](int64_t n_loops) {
        check(cudaEventRecord(begin, stream), "record an event");
        launch(stream, n_loops);
        check(cudaGetLastError(), "launch a kernel");
        check(cudaEventRecord(end, stream), "record an event");
        check(cudaEventSynchronize(end), "run a kernel");
        float ms = 0;
        check(cudaEventElapsedTime(&ms, begin, end), "read its events");
        return std::max(double(ms) * 1e6, k_least_ns);
    };
    Repetitions found;
    const auto  adapt = [&](double ns) {
        const double times = std::min(k_repetition_ns / ns, k_most_growth);
        found.n_loops      = std::max<int64_t>(1, static_cast<int64_t>(double(found.n_loops) * times));
    };
    double        per_loop_ns = 0;
    int           n_steady    = 0;
    const int64_t cold_ns     = monotonic_ns();
    while (n_steady < k_steady && double(monotonic_ns() - cold_ns) < k_longest_warmup) {
        const double ns  = elapsed_ns(found.n_loops);
        const double now = ns / double(found.n_loops);
        n_steady         = per_loop_ns > 0 && now > k_faster * per_loop_ns ? n_steady + 1 : 0;
        per_loop_ns      = per_loop_ns > 0 ? std::min(per_loop_ns, now) : now;
        adapt(ns);
    }
    const int64_t warm_ns = monotonic_ns();
    while (found.sorted_ns.size() < k_fewest || double(monotonic_ns() - warm_ns) < seconds * 1e9) {
        found.sorted_ns.push_back(elapsed_ns(found.n_loops));
    }
    std::sort(found.sorted_ns.begin(), found.sorted_ns.end());
    return found;
}

}  // namespace slmprof::cuda
