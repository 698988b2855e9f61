// Random blocks of any tensor type, as fast as copying: a modest pool of genuinely random rows is
// quantized once by ggml itself, and tensors are filled with random picks from it.

#pragma once

#include "ggml.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace slmprof {

// What a tensor's values are spread around. Weights lie around 0 with a deviation that keeps
// activations finite through many layers; norms lie around 1, biases close to 0, and what a state decays by
// around -1.
enum class TensorFill : uint8_t { weight = 0, norm = 1, bias = 2, decay = 3 };

// SplitMix64 (Steele, Lea, Flood 2014): one multiply-free state step, so that any stream can be
// started anywhere from a seed of its own.
class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed) {}

    uint64_t next() {
        uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        return z ^ (z >> 31);
    }

    // Uniform in [0, n) without a division; n is far below 2^32 here, so the bias is negligible.
    size_t below(size_t n) { return size_t(((next() >> 32) * uint64_t(n)) >> 32); }

    // Standard normal, Box-Muller.
    float normal() {
        const double u = (double(next() >> 11) + 1.0) * 0x1.0p-53;
        const double v = double(next() >> 11) * 0x1.0p-53;
        return float(std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v));
    }

  private:
    uint64_t state_;
};

inline uint64_t mix_seeds(uint64_t a, uint64_t b) { return Random(a ^ (b * 0xd1342543de82ef95ull)).next(); }

// The pool of one type. Deterministic for a seed.
class RandomPool {
  public:
    RandomPool(ggml_type type, TensorFill fill, uint64_t seed) {
        const int64_t block_elements = ggml_blck_size(type);
        const bool    is_integer     = type == GGML_TYPE_I8 || type == GGML_TYPE_I16 || type == GGML_TYPE_I32 ||
                                       type == GGML_TYPE_I64 || type == GGML_TYPE_F64;
        const bool    is_activation  = type == GGML_TYPE_Q8_1 || type == GGML_TYPE_Q8_K; // no quantizer for files
        if (block_elements <= 0 || k_row_length % block_elements != 0 || is_integer || is_activation) {
            throw std::invalid_argument(std::string("no random blocks for tensor type ") + ggml_type_name(type));
        }

        // ggml searches long for the best codes of the lowest-bit types: a smaller pool must do.
        const bool         is_slow = type == GGML_TYPE_IQ1_S || type == GGML_TYPE_IQ1_M || type == GGML_TYPE_IQ2_S ||
                                     type == GGML_TYPE_IQ2_XS || type == GGML_TYPE_IQ2_XXS;
        const int64_t      n_rows  = is_slow ? k_rows_if_slow : k_rows;
        Random             random(mix_seeds(seed, (uint64_t(type) << 8) | uint64_t(fill)));
        const float        centre = fill == TensorFill::norm ? 1.0f : fill == TensorFill::decay ? -1.0f : 0.0f;
        std::vector<float> values(n_rows * k_row_length);
        std::generate(values.begin(), values.end(), [&] { return centre + k_deviation * random.normal(); });

        // Very low-bit types demand an importance matrix; a flat one means "all columns alike".
        const std::vector<float> importance(k_row_length, 1.0f);
        const size_t             size_bytes = size_t(n_rows) * ggml_row_size(type, k_row_length);
        blocks_.resize(size_bytes);
        ggml_quantize_chunk(type, values.data(), blocks_.data(), 0, n_rows, k_row_length,
                            ggml_quantize_requires_imatrix(type) ? importance.data() : nullptr);
        if (!ggml_validate_row_data(type, blocks_.data(), size_bytes)) {
            throw std::runtime_error(std::string("ggml made invalid blocks of type ") + ggml_type_name(type));
        }

        unit_bytes_ = ggml_row_size(type, std::max(block_elements, k_min_unit));
        n_units_    = size_bytes / unit_bytes_;
    }

    // Bytes of one pick.
    size_t unit_bytes() const { return unit_bytes_; }

    // Fills `size_bytes` (a whole number of the type's blocks) at `destination`.
    void fill(uint8_t * destination, size_t size_bytes, uint64_t stream_seed) const {
        Random random(stream_seed);
        while (size_bytes > 0) {
            const size_t n = std::min(size_bytes, unit_bytes_);
            std::memcpy(destination, blocks_.data() + random.below(n_units_) * unit_bytes_, n);
            destination += n;
            size_bytes -= n;
        }
    }

  private:
    static constexpr int64_t k_row_length   = 1024;  // values; a multiple of every type's block
    static constexpr int64_t k_rows         = 256;   // in the pool
    static constexpr int64_t k_rows_if_slow = 32;
    static constexpr int64_t k_min_unit     = 64;    // values per pick where blocks are small
    static constexpr float   k_deviation    = 0.02f; // of all of them alike

    size_t               unit_bytes_ = 0;
    size_t               n_units_    = 0;
    std::vector<uint8_t> blocks_;
};

} // namespace slmprof
