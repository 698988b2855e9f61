// Random weights: GGUF files of a described architecture whose numbers mean nothing and whose
// shapes, types and sizes are exactly those of the real thing. No pybind11 here.

#pragma once

#include "gguf/header.h"
#include "gguf/random_blocks.h"

#include <functional>

namespace slmprof {

struct RandomTensor {
    TensorSpec spec;
    TensorFill fill = TensorFill::weight;
};

// Called now and then on the calling thread; whatever it throws stops the writing.
using PollFunction = std::function<void()>;

// Writes `path` with the given metadata and tensors. The bytes depend on the seed alone, not on
// the number of threads (0: as many as the machine has, at most 8). The file appears whole or not at
// all: it is written under a temporary name in the same folder, synced and renamed.
// Throws std::system_error (no permission, no space, ...) and std::invalid_argument.
void write_random_gguf(const std::string & path, const Metadata & metadata, const std::vector<RandomTensor> & tensors,
                       uint64_t seed, int n_threads, const PollFunction & poll);

} // namespace slmprof
