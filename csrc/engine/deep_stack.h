// Calls of functions that go deep.

#pragma once

#include <cstddef>
#include <functional>

namespace slmprof {

// Calls on a thread of its own with a stack of this size, of which only what is used takes memory; on this one where the
// system has no room for it. What the function throws comes through.
void on_deep_stack(size_t stack_bytes, const std::function<void()> & call);

}  // namespace slmprof
