// How much each column of each weight counts: sums of squares of what it is multiplied with. No pybind11.

#pragma once

#include "engine/graph_observer.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace slmprof {

// Sums over tokens; one matrix after the other where the tensor holds several (experts).
struct ImportanceSum {
    int64_t              n_per_row = 0, n_matrices = 1;
    std::vector<float>   squares; // [n_matrices, n_per_row]
    std::vector<int64_t> counts;  // [n_matrices], of activations that were multiplied
};

// Observes the products with matrices of the layers; with `is_head` also that with the LM head. As llama-imatrix does
// it, products with less than 16 tokens count nothing.
class ImportanceSums : public GraphObserver {
  public:
    explicit ImportanceSums(bool takes_head) : takes_head_(takes_head) {}

    bool wants(const ggml_tensor & tensor) override;
    void see(const ggml_tensor & tensor) override;

    const std::map<std::string, ImportanceSum> & sums() const { return sums_; }

  private:
    bool                                 takes_head_;
    std::map<std::string, ImportanceSum> sums_;
    std::vector<uint8_t>                 activations_, ids_; // of the product at hand
};

} // namespace slmprof
