#include "record/disturbance.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/resource.h>
#endif

#include <algorithm>

namespace slmprof {

namespace {

// Of prompts there are few: a machine that has become slower must not set all of them apart.
constexpr size_t k_remembered[] = { 8, 32 };  // by phase
constexpr size_t k_least_known  = 3;
constexpr double k_longest_step = 1.25;  // of the median, as MAX_EXCESS in Python

}  // namespace

ProcessorUse ProcessorUse::now() {
    ProcessorUse use;
#if defined(__unix__) || defined(__APPLE__)
    rusage told{};
    if (getrusage(RUSAGE_SELF, &told) == 0) {
        const auto ns   = [](const timeval & time) { return (time.tv_sec * 1'000'000LL + time.tv_usec) * 1000LL; };
        use.cpu_ns      = ns(told.ru_utime) + ns(told.ru_stime);
        use.n_preempted = told.ru_nivcsw;
    }
#endif
    return use;
}

bool StepLimit::is_exceeded_by(const StepColumns::Row & step, uint8_t kind) {
    const int64_t wall   = step.end_ns - step.begin_ns;
    Recent &      recent = recent_[{ step.phase, step.depth, kind }];
    bool          is_exceeded = false;
    if (recent.walls_ns.size() >= k_least_known) {
        sorted_ = recent.walls_ns;
        const auto middle = sorted_.begin() + static_cast<std::ptrdiff_t>(sorted_.size() / 2);
        std::nth_element(sorted_.begin(), middle, sorted_.end());
        is_exceeded = static_cast<double>(wall) > k_longest_step * static_cast<double>(*middle);
    }
    // Those that exceeded it, too: where all steps become longer, that is no disturbance.
    const size_t n_remembered = k_remembered[step.phase];
    if (recent.walls_ns.size() < n_remembered) {
        recent.walls_ns.push_back(wall);
    } else {
        recent.walls_ns[recent.next] = wall;
        recent.next                  = (recent.next + 1) % n_remembered;
    }
    return is_exceeded;
}

}  // namespace slmprof
