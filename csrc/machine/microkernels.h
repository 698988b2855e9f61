// The shortest loops that keep the processor's multipliers busy, one for each instruction that products can be
// made of. On x86 each is compiled for its own instruction set, whatever the rest of the build is compiled for; on Arm
// there are those of the sets that ggml is compiled for.

#pragma once

#include <cstdint>
#include <vector>

namespace slmprof {

// A loop adds the products of `n_lanes` pairs of numbers to each of `n_sums` independent sums.
struct Microkernel {
    const char * name;  // the instruction, and the width of its registers
    const char * isa;   // the instruction set, as the system names it
    const char * type;  // of the factors: int8 (on x86 unsigned by signed), f32, f16, bf16
    int64_t      n_lanes;
    int64_t      n_sums;
    bool (*is_supported)();  // by this processor and this system; nothing else may be called if not

    // Runs n loops on the first `n_numbers` of 64 bytes of each factor, aligned to 64, and adds all sums up.
    double (*run)(const void * a, const void * b, int64_t n);

    int64_t n_rows = 1;  // of each factor, where every row of one is multiplied by every row of the other

    int64_t n_numbers() const { return n_lanes / n_rows; }

    int64_t operations() const { return 2 * n_lanes * n_sums; }
};

// Those that this build was compiled with; empty for a processor that has none here.
const std::vector<Microkernel> & microkernels();

}  // namespace slmprof
