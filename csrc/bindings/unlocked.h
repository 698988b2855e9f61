// Work without the interpreter's lock, which the thread that it waits for may need.

#pragma once

#include <pybind11/pybind11.h>

namespace slmprof {

template <typename Call> auto unlocked(const Call & call) {
    const pybind11::gil_scoped_release release;
    return call();
}

// Lets a Ctrl-C through: as an exception, on the way of which what was begun is undone.
inline void check_signals() {
    const pybind11::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) {
        throw pybind11::error_already_set();
    }
}

}  // namespace slmprof
