// Work without the interpreter's lock, which the thread that it waits for may need.

#pragma once

#include <pybind11/pybind11.h>

namespace slmprof {

// Its thread is without the lock. Where the program ends meanwhile, in another thread, it stays where it is for good: the
// interpreter would end it in the midst of C++, and with it the process.
class Unlocked {
  public:
    Unlocked();
    ~Unlocked();
    Unlocked(const Unlocked &)             = delete;
    Unlocked & operator=(const Unlocked &) = delete;

  private:
    PyThreadState * state_;
};

template <typename Call> auto unlocked(const Call & call) {
    const Unlocked release;
    return call();
}

// Lets a Ctrl-C through: as an exception, on the way of which what was begun is undone. So does the program's end.
void check_signals();

// Has the program's end wait, for a while, for threads that are without the lock.
void register_end();

}  // namespace slmprof
