// Locks of the whole process in a child that is forked from it. Only the thread that forked is there: what another one holds
// at that moment would be held for ever.

#pragma once

#include <pthread.h>

#include <mutex>
#include <new>

namespace slmprof {

// Has a fork wait for a lock that is held for moments, so that it is free in the child, and what it guards is whole. The
// lock stands at namespace scope; to be called once. Whether that was possible.
template <std::mutex & lock> bool taken_for_forks() {
    const auto let_go = [] { lock.unlock(); };
    return pthread_atfork([] { lock.lock(); }, let_go, let_go) == 0;
}

// As above, of a lock that may be held for long: a fork does not wait, and the child has a new one.
template <std::mutex & lock> bool renewed_in_forks() {
    return pthread_atfork(nullptr, nullptr, [] { new (&lock) std::mutex; }) == 0;
}

}  // namespace slmprof
