// What logits say of the tokens that came next, and how far they are from those of a reference. No pybind11,
// nothing of llama.cpp.

#pragma once

#include <cstdint>
#include <vector>

namespace slmprof {

// Rows of logits, [n_rows, n_vocab], and the token that followed each.
struct ScoredRows {
    const float *   logits = nullptr;
    const int32_t * next   = nullptr;
    int32_t         n_rows = 0, n_vocab = 0;
};

// The negative natural logarithm of the probability of each next token. Throws std::invalid_argument for a token
// that is not in the vocabulary.
std::vector<double> negative_log_likelihoods(const ScoredRows & rows, int n_threads);

// One row each; natural logarithms.
struct Divergences {
    std::vector<double>  nll, reference_nll;
    std::vector<double>  kld;                 // of the reference's distribution from this one
    std::vector<double>  probability_change;  // of the next token, from the reference's
    std::vector<uint8_t> same_top;            // whether the most probable token is the same
};

// How the reference's logits are taken.
enum class ReferenceLogits {
    exact,
    // As llama-perplexity stores them: in 65536 steps from 16 below the largest one, and those less probable
    // than e^-16 left out of the divergence.
    stored,
};

// `reference` has as many rows of as many logits. Throws as above.
Divergences diverge(const ScoredRows & rows, const float * reference, ReferenceLogits kind, int n_threads);

} // namespace slmprof
