// How the tick counter is read. Tests put a clock of their own in the place of this file.

#pragma once

#include <cstdint>
#include <ctime>

#if defined(__x86_64__) || defined(__i386__)
#    include <cpuid.h>
#    include <x86intrin.h>
#endif

namespace slmprof {

inline int64_t monotonic_ns() {
#ifdef CLOCK_MONOTONIC_RAW
    constexpr clockid_t k_clock = CLOCK_MONOTONIC_RAW;  // never slewed, so it keeps step with the ticks
#else
    constexpr clockid_t k_clock = CLOCK_MONOTONIC;
#endif
    timespec now{};
    clock_gettime(k_clock, &now);
    return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

#if defined(__x86_64__) || defined(__i386__)
inline bool detect_invariant_ticks() {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __get_cpuid(0x80000007U, &eax, &ebx, &ecx, &edx) != 0 && (edx & (1U << 8)) != 0;
}
inline const bool k_invariant_ticks = detect_invariant_ticks();

inline uint64_t read_ticks() {
    return __builtin_expect(k_invariant_ticks, 1) ? __rdtsc() : static_cast<uint64_t>(monotonic_ns());
}

// When all that stands before is done. The counter may otherwise be read while the last instructions
// are still under way, which takes time from a short op and gives it to the next one.
inline uint64_t read_ticks_in_order() {
    _mm_lfence();
    return read_ticks();
}
#elif defined(__aarch64__)
inline const bool k_invariant_ticks = true;

inline uint64_t read_ticks() {
    uint64_t ticks = 0;
    asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
}

inline uint64_t read_ticks_in_order() {
    asm volatile("isb" ::: "memory");
    return read_ticks();
}
#else
inline const bool k_invariant_ticks = false;

inline uint64_t read_ticks() { return static_cast<uint64_t>(monotonic_ns()); }

inline uint64_t read_ticks_in_order() { return read_ticks(); }
#endif

}  // namespace slmprof
