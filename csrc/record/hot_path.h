// The hooks that run once or more for each op, on each thread: in C and inline, because a call costs as
// much as what it does here. All that they read and write lies in the thread's own slot: weights stream
// through the caches between two ops, so each further line that a hook needed would have to come
// back from the second or third level.

#pragma once

#include "record/ticks.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What `convert_ticks` is while a product converts its activations.
#define SLMPROF_CONVERTING 1U

// One op on one thread, in ticks.
struct slmprof_event {
    uint64_t begin_ticks;
    uint64_t end_ticks;
    uint32_t path;  // path code, see hooks.h
    // From the begin until the thread had converted its share of a product's activations; 0 where
    // there is nothing to convert, SLMPROF_CONVERTING while it does.
    uint32_t convert_ticks;
    // From the begin until it went on behind the barrier after that; 0 where that was not read.
    uint32_t resume_ticks;
    uint32_t place;  // see slmprof_place

#ifdef __cplusplus
    uint32_t node() const { return place & 0xFFFFF; }  // position of the (first) node in the graph
    uint32_t n_fused() const { return place >> 20 & 0xF; }
    uint32_t run() const { return place >> 24; }  // as run_tag makes it
    bool     converts() const { return convert_ticks > SLMPROF_CONVERTING; }
#endif
};

// What the hot path of one thread reads and writes, on cache lines of its own.
struct slmprof_thread {
    // The op that runs or has just run. It becomes an event when the thread arrives at its barrier.
    struct slmprof_event op;
    bool                 is_last;  // its end is the next op's begin
    // It has run and is no event yet. Atomic: the collecting thread reads it too, which may pass the last
    // barrier before another thread has written down when it arrived there.
    bool                 is_pending;
    bool                 is_alone;  // the graph runs on one thread
    bool                 is_exact;  // the clock is read in order, and at each resumption
    bool                 resumes;   // it waits at a barrier within an op
    uint32_t             run;       // tag of the run whose ops begin now

    struct slmprof_event * next;
    struct slmprof_event * end;
    uint64_t               n_dropped;
    struct slmprof_event * first;
} __attribute__((aligned(128)));

#ifdef __cplusplus
static_assert(sizeof(slmprof_event) == 32 && sizeof(slmprof_thread) == 128, "the hot path counts its cache lines");

extern "C" {
#endif

// The slots of the threads while an op pass runs, else null. Written only while no graph runs; but a thread
// may leave the last barrier of a graph so late that it reads it just then: hence atomically, once a hook.
extern struct slmprof_thread * slmprof_threads;

// The slot of this thread, for the barrier, which does not know the thread's number.
#ifdef SLMPROF_HAS_CUDART
// CUDA's runtime has a page of such variables. With one of another model in the module all of them would have to fit
// into what the loader has left for modules that are loaded late, which is less.
#    define SLMPROF_TLS_MODEL "global-dynamic"
#else
#    define SLMPROF_TLS_MODEL "initial-exec"
#endif
extern __thread struct slmprof_thread * slmprof_own_slot __attribute__((tls_model(SLMPROF_TLS_MODEL)));

static inline uint64_t slmprof_read_clock(const struct slmprof_thread * own) {
    return __builtin_expect(own->is_exact, 0) ? slmprof_read_ticks_in_order() : slmprof_read_ticks();
}

static inline uint32_t slmprof_place(int node, int n_fused, uint32_t run) {
    return (uint32_t) node | (uint32_t) n_fused << 20 | run << 24;
}

// More than the value that means that a conversion is under way; an op does not last long enough for
// the upper limit.
static inline uint32_t slmprof_ticks_since(uint64_t now, uint64_t begin) {
    const uint64_t elapsed = now - begin;
    return elapsed <= SLMPROF_CONVERTING ? SLMPROF_CONVERTING + 1 : elapsed > UINT32_MAX ? UINT32_MAX : (uint32_t) elapsed;
}

// Ends the op and appends it to the buffer.
static inline void slmprof_finish(struct slmprof_thread * own, uint64_t end_ticks, bool is_last) {
    own->op.end_ticks = end_ticks;
    own->is_last      = is_last;
    if (__builtin_expect(own->next != own->end, 1)) {
        *own->next++ = own->op;
    } else {
        own->n_dropped++;
    }
    __atomic_store_n(&own->is_pending, false, __ATOMIC_RELEASE);
}

static inline void slmprof_op_begin(struct slmprof_thread * threads, int thread) {
    struct slmprof_thread * own = &threads[thread];
    // What the thread does between two graphs is no part of an op.
    const bool follows     = own->is_last && own->op.place >> 24 == own->run;
    slmprof_own_slot       = own;
    own->op.path           = 0;
    own->op.convert_ticks  = 0;
    own->op.resume_ticks   = 0;
    own->op.begin_ticks    = follows ? own->op.end_ticks : slmprof_read_clock(own);
}

static inline void slmprof_op_end(struct slmprof_thread * threads, int thread, int node, int n_fused, int barrier_tells) {
    struct slmprof_thread * own = &threads[thread];
    own->op.place               = slmprof_place(node, n_fused, own->run);
    if (barrier_tells != 0) {
        __atomic_store_n(&own->is_pending, true, __ATOMIC_RELAXED);
    } else {
        // One thread alone goes from op to op without a wait; OpenMP's barrier cannot tell.
        slmprof_finish(own, slmprof_read_clock(own), own->is_alone);
    }
    // An event is written at the barrier, or after the next op; its line can be on its way until then.
    __builtin_prefetch(own->next, 1);
}

static inline void slmprof_arrive(int is_last) {
    struct slmprof_thread * own = slmprof_own_slot;
    if (own == NULL) {
        return;
    }
    if (__atomic_load_n(&own->is_pending, __ATOMIC_RELAXED)) {
        slmprof_finish(own, slmprof_read_clock(own), is_last != 0);
    } else if (own->op.convert_ticks == SLMPROF_CONVERTING) {
        // A barrier within the op, which ends the conversion of a product's activations.
        own->op.convert_ticks = slmprof_ticks_since(slmprof_read_clock(own), own->op.begin_ticks);
        own->resumes          = own->is_exact && is_last == 0;
        if (own->is_exact && is_last != 0) {
            own->op.resume_ticks = own->op.convert_ticks;
        }
    }
}

static inline void slmprof_resume(struct slmprof_thread * threads, int thread) {
    struct slmprof_thread * own = &threads[thread];
    if (own->resumes) {
        own->resumes         = false;
        own->op.resume_ticks = slmprof_ticks_since(slmprof_read_clock(own), own->op.begin_ticks);
    }
}

static inline void slmprof_convert(struct slmprof_thread * threads, int thread) {
    threads[thread].op.convert_ticks = SLMPROF_CONVERTING;
}

static inline void slmprof_set_path(struct slmprof_thread * threads, int thread, uint32_t code, int only_if_unknown) {
    struct slmprof_thread * own = &threads[thread];
    if (only_if_unknown == 0 || own->op.path == 0) {
        own->op.path = code;
    }
}

#ifdef __cplusplus
}
#endif
