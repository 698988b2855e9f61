#include "machine/microkernels.h"

#include <doctest/doctest.h>

#include <cstring>
#include <set>
#include <string>
#include <vector>

using namespace slmprof;

namespace {

// Numbers that every type holds exactly, in as many bytes as it has.
struct alignas(64) Factor {
    uint8_t bytes[64] = {};

    Factor(const std::string & type, const std::vector<int> & values) {
        for (size_t i = 0; i < values.size(); i++) {
            const auto number = static_cast<float>(values[i]);
            uint32_t   word   = 0;
            std::memcpy(&word, &number, sizeof(word));
            if (type == "f32") {
                std::memcpy(bytes + 4 * i, &word, 4);
            } else if (type == "bf16") {
                std::memcpy(bytes + 2 * i, reinterpret_cast<const uint8_t *>(&word) + 2, 2);
            } else if (type == "f16") {
                // Powers of two and 0: sign, exponent with another bias, no fraction.
                const uint32_t exponent = word >> 23 & 0xff;
                const auto     half     = static_cast<uint16_t>((word >> 16 & 0x8000) |
                                                        (exponent == 0 ? 0 : (exponent - 127 + 15) << 10));
                std::memcpy(bytes + 2 * i, &half, 2);
            } else {
                bytes[i] = static_cast<uint8_t>(static_cast<int8_t>(values[i]));
            }
        }
    }
};

}  // namespace

TEST_SUITE_BEGIN("microkernels");

TEST_CASE("each adds up the products that it says it does") {
    constexpr int64_t k_n_loops = 3;
    for (const Microkernel & kernel : microkernels()) {
        if (!kernel.is_supported()) {
            continue;
        }
        CAPTURE(kernel.name);
        std::vector<int> left, right;
        double           products = 0;
        for (int64_t i = 0; i < kernel.n_numbers(); i++) {
            left.push_back(1 << (i % 4));                  // unsigned in products of bytes
            right.push_back(i % 3 == 2 ? -2 : i % 3 + 1);  // of both signs
        }
        const int64_t n_columns = kernel.n_numbers() / kernel.n_rows;
        for (int64_t of_left = 0; of_left < kernel.n_rows; of_left++) {
            for (int64_t of_right = 0; of_right < kernel.n_rows; of_right++) {
                for (int64_t i = 0; i < n_columns; i++) {
                    products += double(left[of_left * n_columns + i]) * right[of_right * n_columns + i];
                }
            }
        }
        const Factor a(kernel.type, left), b(kernel.type, right);
        CHECK(kernel.run(a.bytes, b.bytes, k_n_loops) == double(k_n_loops * kernel.n_sums) * products);
        CHECK(kernel.run(a.bytes, b.bytes, 0) == 0);
        CHECK(kernel.operations() == 2 * kernel.n_lanes * kernel.n_sums);
    }
}

TEST_CASE("every instruction has a name of its own, and the plainest ones run everywhere") {
    std::set<std::string> names;
    for (const Microkernel & kernel : microkernels()) {
        CHECK(names.insert(kernel.name).second);
    }
#if defined(__x86_64__) || defined(__aarch64__)
#    ifdef __x86_64__
    const std::string plainest = "sse2";
#    else
    const std::string plainest = "neon";
#    endif
    for (const char * type : { "int8", "f32" }) {
        bool is_there = false;
        for (const Microkernel & kernel : microkernels()) {
            is_there |= kernel.type == std::string(type) && kernel.isa == plainest && kernel.is_supported();
        }
        CHECK(is_there);
    }
#endif
}

TEST_SUITE_END();
