// Memory by buffer: what a context has allocated, and what llama.cpp's planner says it would.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

struct llama_context;

namespace slmprof {

struct EngineSettings;

struct BufferRecord {
    std::string device;
    std::string buffer_type;
    std::string kind;  // weights, context, compute, output
    uint64_t    size_bytes = 0;
};

// The buffers of a context. `context` is the KV cache or the recurrent state, or both.
std::vector<BufferRecord> allocated_buffers(const llama_context * context);

// The same before anything is allocated or any weight is read, by llama.cpp's own planner; without
// the output buffer. Throws ModelFailure and EngineFailure.
std::vector<BufferRecord> planned_buffers(const EngineSettings & settings);

}  // namespace slmprof
