#include "bindings/unlocked.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

namespace py = pybind11;

namespace slmprof {

namespace {

constexpr std::chrono::seconds k_patience(5);

std::atomic<int>             n_away{ 0 };
std::atomic<std::thread::id> ender{};  // none until the program ends

[[maybe_unused]] const bool is_forgotten = pthread_atfork(nullptr, nullptr, [] { n_away = 0; }) == 0;

bool is_over() {
    const std::thread::id id = ender;
    return id != std::thread::id() && id != std::this_thread::get_id();
}

[[noreturn]] void stay() {
    for (;;) {
        pause();
    }
}

// Before the interpreter takes anything apart; only threads that it does not wait for are still there.
void end() {
    ender                 = std::this_thread::get_id();
    PyThreadState * state = PyEval_SaveThread();
    const auto deadline   = std::chrono::steady_clock::now() + k_patience;
    while (n_away > 0 && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    PyEval_RestoreThread(state);
}

}  // namespace

Unlocked::Unlocked() : state_(PyEval_SaveThread()) {
    if (is_over()) {
        stay();
    }
    n_away++;
}

Unlocked::~Unlocked() {
    // Told before it is asked: either this sees the end, or the end sees this and lets it have the lock.
    if (is_over()) {
        n_away--;
        stay();
    }
    PyEval_RestoreThread(state_);
    n_away--;
}

void check_signals() {
    if (is_over()) {
        throw std::runtime_error("the program ends");
    }
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) {
        throw py::error_already_set();
    }
}

void register_end() {
    py::module_::import("atexit").attr("register")(py::cpp_function(&end));
}

}  // namespace slmprof
