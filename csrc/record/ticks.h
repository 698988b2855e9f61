// How the clock is read, in C for the hooks in llama.cpp. Tests put a clock of their own in the place of
// this file.

#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#if defined(__x86_64__) || defined(__i386__)
#    include <x86intrin.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

// Whether the processor's counter runs evenly and never stops; found out when the module is loaded.
extern const bool slmprof_has_ticks;

static inline int64_t slmprof_monotonic_ns(void) {
    struct timespec now = { 0, 0 };
#ifdef CLOCK_MONOTONIC_RAW
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);  // never slewed, so it keeps step with the ticks
#else
    clock_gettime(CLOCK_MONOTONIC, &now);
#endif
    return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

#if defined(__x86_64__) || defined(__i386__)
static inline uint64_t slmprof_read_ticks(void) {
    return __builtin_expect(slmprof_has_ticks, 1) ? __rdtsc() : (uint64_t) slmprof_monotonic_ns();
}

// When all that stands before is done. The counter may otherwise be read while the last instructions
// are still under way, which takes time from a short op and gives it to the next one.
static inline uint64_t slmprof_read_ticks_in_order(void) {
    _mm_lfence();
    return slmprof_read_ticks();
}
#elif defined(__aarch64__)
static inline uint64_t slmprof_read_ticks(void) {
    uint64_t ticks = 0;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
}

static inline uint64_t slmprof_read_ticks_in_order(void) {
    __asm__ volatile("isb" ::: "memory");
    return slmprof_read_ticks();
}
#else
static inline uint64_t slmprof_read_ticks(void) { return (uint64_t) slmprof_monotonic_ns(); }

static inline uint64_t slmprof_read_ticks_in_order(void) { return slmprof_read_ticks(); }
#endif

#ifdef __cplusplus
}
#endif
