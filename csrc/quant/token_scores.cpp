#include "quant/token_scores.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <thread>

namespace slmprof {

namespace {

constexpr float  k_store_depth    = 16;     // llama-perplexity keeps nothing further below the largest logit
constexpr float  k_store_steps    = 65535;
constexpr double k_least_log_prob = -16;

// The largest of a row and where it stands, and the logarithm of the sum of exponentials beyond it.
struct Softmax {
    float   max = 0;
    int32_t top = 0;
    double  log_sum = 0;

    Softmax(const float * logits, int32_t n) : max(logits[0]) {
        for (int32_t i = 1; i < n; i++) {
            if (logits[i] > max) {
                max = logits[i];
                top = i;
            }
        }
        double sum = 0;
        for (int32_t i = 0; i < n; i++) {
            sum += std::exp(logits[i] - max);
        }
        log_sum = std::log(sum);
    }

    double log_prob(float logit) const { return double(logit) - double(max) - log_sum; }
};

// Rows are shared out in turns, so that each thread's are all over the batch.
template <typename Row> void for_rows(int32_t n_rows, int n_threads, const Row & row) {
    const int                n = std::clamp(n_threads, 1, std::max(1, n_rows));
    std::vector<std::thread> threads;
    const auto               work = [&](int first) {
        for (int32_t i = first; i < n_rows; i += n) {
            row(i);
        }
    };
    for (int i = 1; i < n; i++) {
        threads.emplace_back(work, i);
    }
    work(0);
    for (std::thread & thread : threads) {
        thread.join();
    }
}

void check(const ScoredRows & rows) {
    if (rows.n_vocab < 1) {
        throw std::invalid_argument("no logits");
    }
    for (int32_t i = 0; i < rows.n_rows; i++) {
        if (rows.next[i] < 0 || rows.next[i] >= rows.n_vocab) {
            throw std::invalid_argument("token " + std::to_string(rows.next[i]) + " is not in the vocabulary of " +
                                        std::to_string(rows.n_vocab));
        }
    }
}

struct Divergence {
    double reference_nll = 0, kld = 0;
    bool   same_top = false;
};

Divergence diverge_exactly(const float * logits, const Softmax & own, const float * reference, int32_t next, int32_t n) {
    const Softmax other(reference, n);
    double        sum = 0;
    // The normalizers are the same for all tokens: only differences of logits are summed up.
    for (int32_t i = 0; i < n; i++) {
        // Tokens that the reference rules out count nothing, however little the model thinks of them.
        if (const double weight = std::exp(reference[i] - other.max); weight > 0) {
            sum += weight * (double(reference[i]) - double(logits[i]));
        }
    }
    const double kld = sum / std::exp(other.log_sum) + (double(own.max) + own.log_sum) - (double(other.max) + other.log_sum);
    return { -other.log_prob(reference[next]), kld, own.top == other.top };
}

// A row of the store: log-probabilities in equal steps. Its values are floats, as there.
struct StoredRow {
    const float * logits;
    float         least = 0, step = 0, least_log_prob = 0;

    StoredRow(const float * reference, int32_t n) : logits(reference) {
        const Softmax softmax(reference, n);
        least          = std::max(*std::min_element(reference, reference + n), softmax.max - k_store_depth);
        step           = (softmax.max - least) / k_store_steps;
        least_log_prob = least - softmax.max - float(softmax.log_sum);
    }

    float log_prob(int32_t token) const {
        const bool  is_kept = step > 0 && logits[token] > least;
        const float n_steps = is_kept ? std::nearbyint(1 / step * (logits[token] - least)) : 0;
        return step * n_steps + least_log_prob;
    }
};

Divergence diverge_from_stored(const float * logits, const Softmax & own, const float * reference, int32_t next, int32_t n) {
    const StoredRow stored(reference, n);
    const float     normalizer = own.max + float(own.log_sum);
    double          kld        = 0;
    int32_t         top        = 0;
    float           most       = 0;
    for (int32_t i = 0; i < n; i++) {
        const float log_prob = stored.log_prob(i);
        if (i == 0 || log_prob > most) {
            most = log_prob;
            top  = i;
        }
        if (log_prob > k_least_log_prob) {
            kld += double(std::exp(log_prob) * (log_prob - logits[i] + normalizer));
        }
    }
    return { double(-stored.log_prob(next)), kld, own.top == top };
}

} // namespace

std::vector<double> negative_log_likelihoods(const ScoredRows & rows, int n_threads) {
    check(rows);
    std::vector<double> nll(size_t(rows.n_rows));
    for_rows(rows.n_rows, n_threads, [&](int32_t i) {
        const float * logits = rows.logits + size_t(i) * size_t(rows.n_vocab);
        nll[size_t(i)]       = -Softmax(logits, rows.n_vocab).log_prob(logits[rows.next[i]]);
    });
    return nll;
}

Divergences diverge(const ScoredRows & rows, const float * reference, ReferenceLogits kind, int n_threads) {
    check(rows);
    const auto  n = size_t(rows.n_rows);
    Divergences found{ std::vector<double>(n), std::vector<double>(n), std::vector<double>(n), std::vector<double>(n),
                       std::vector<uint8_t>(n) };
    const auto  of_row = kind == ReferenceLogits::exact ? diverge_exactly : diverge_from_stored;
    for_rows(rows.n_rows, n_threads, [&](int32_t row) {
        const auto       i      = size_t(row);
        const size_t     begin  = i * size_t(rows.n_vocab);
        const float *    logits = rows.logits + begin;
        const Softmax    own(logits, rows.n_vocab);
        const Divergence one = of_row(logits, own, reference + begin, rows.next[row], rows.n_vocab);
        found.nll[i]                = -own.log_prob(logits[rows.next[row]]);
        found.reference_nll[i]      = one.reference_nll;
        found.kld[i]                = one.kld;
        found.probability_change[i] = std::exp(-found.nll[i]) - std::exp(-one.reference_nll);
        found.same_top[i]           = one.same_top;
    });
    return found;
}

} // namespace slmprof
