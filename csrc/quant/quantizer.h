// llama.cpp's own quantizer, from file to file.

#pragma once

#include "quant/recipe.h"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace slmprof {

struct QuantizeJob {
    std::string             source, target;
    Recipe                  recipe;
    std::vector<Importance> importances;
    // Metadata that the file gets beside what the source has: texts of at most 127 bytes, and whole numbers.
    std::vector<std::pair<std::string, std::variant<int64_t, std::string>>> notes;
    bool allows_requantizing = false;
    int  n_threads           = 1;
};

// The number of the tensor that is at hand, and how many there are.
using TensorProgress = std::function<void(int number, int n_tensors)>;

// Writes the target as it goes along: what fails leaves part of a file behind. Holds a slab of a tensor at a
// time. Throws ModelFailure with llama.cpp's reason, and std::invalid_argument.
void quantize_file(const QuantizeJob & job, const TensorProgress & on_progress);

} // namespace slmprof
