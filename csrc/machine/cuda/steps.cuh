// One instruction each, with enough independent sums that its latency does not count: those of the ordinary cores
// that ggml-cuda uses, and those of the tensor cores in the shapes of its mma.cuh. Older devices have smaller
// shapes; where there is none, or none that ggml would use, `k_operations` is 0.
//
// A step is run by a whole warp, and its operations are the warp's. Signs alternate, so that sums of f16 stay
// finite. The instructions are written out, because a compiler may find a shorter way to a sum that repeats.

#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#ifdef __CUDA_ARCH__
#    define SLMPROF_CUDA_ARCH __CUDA_ARCH__
#else
#    define SLMPROF_CUDA_ARCH 0  // the host reads this file, too, and runs nothing of it
#endif

namespace slmprof::cuda {

constexpr int k_warp_size = 32;
constexpr int k_n_sums    = 16;  // of an ordinary core
constexpr int k_n_tiles   = 8;   // of a tensor core; each is several registers

// What a step multiplies: ordinary numbers, in each lane others. A processor may save power over zeros.
struct Factors {
    uint32_t a[4], b[2], negative_b[2];
};

template <typename Type> __device__ Factors factors_of(uint32_t seed) {
    Factors factors;
    for (uint32_t i = 0; i < 4; i++) {
        factors.a[i] = Type::number(i + seed + threadIdx.x);
    }
    for (uint32_t i = 0; i < 2; i++) {
        factors.b[i]          = Type::number(i + seed + threadIdx.x / 2);
        factors.negative_b[i] = factors.b[i] ^ Type::k_signs;
    }
    return factors;
}

// Numbers between 0.5 and 2 whose last bits differ, as a register holds them: two of f16 or bf16, one of f32, of
// which tf32 is the upper part, four integers.
struct F16 {
    static constexpr uint32_t k_signs = 0x80008000u;
    static __device__ uint32_t number(uint32_t i) { return 0x38003a00u + (i % 8) * 0x007b0053u; }
};
struct Bf16 {
    static constexpr uint32_t k_signs = 0x80008000u;
    static __device__ uint32_t number(uint32_t i) { return 0x3f003f40u + (i % 8) * 0x00130007u; }
};
struct F32 {
    static constexpr uint32_t k_signs = 0x80000000u;
    static __device__ uint32_t number(uint32_t i) { return 0x3f000000u + (i % 8) * 0x00131313u; }
};
struct Int8 {
    static constexpr uint32_t k_signs = 0x80808080u;
    static __device__ uint32_t number(uint32_t i) { return 0x5533a17bu + (i % 8) * 0x17c92e65u; }
};

// One multiply-add in each lane.
struct FmaF32 {
    using Type = F32;
    using Sum  = float;
    static constexpr int k_operations = 2;
    static __device__ void run(float & sum, uint32_t a, uint32_t b) {
        asm volatile("fma.rn.f32 %0, %1, %2, %0;" : "+f"(sum) : "f"(__uint_as_float(a)), "f"(__uint_as_float(b)));
    }
};

struct FmaF16 {
    using Type = F16;
    using Sum  = uint32_t;
    static constexpr int k_operations = SLMPROF_CUDA_ARCH >= 530 ? 4 : 0;
    static __device__ void run([[maybe_unused]] uint32_t & sum, [[maybe_unused]] uint32_t a, [[maybe_unused]] uint32_t b) {
#if SLMPROF_CUDA_ARCH >= 530
        asm volatile("fma.rn.f16x2 %0, %1, %2, %0;" : "+r"(sum) : "r"(a), "r"(b));
#endif
    }
};

// Four products of 8-bit integers, added up in 32 bits.
struct Dp4a {
    using Type = Int8;
    using Sum  = int32_t;
    static constexpr int k_operations = SLMPROF_CUDA_ARCH >= 610 ? 8 : 0;
    static __device__ void run([[maybe_unused]] int32_t & sum, [[maybe_unused]] uint32_t a, [[maybe_unused]] uint32_t b) {
#if SLMPROF_CUDA_ARCH >= 610
        asm volatile("dp4a.s32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a), "r"(b));
#endif
    }
};

template <typename Instruction> struct CoreStep {
    using Type = typename Instruction::Type;
    static constexpr int k_operations = 2 * k_n_sums * k_warp_size * Instruction::k_operations;

    typename Instruction::Sum sums[k_n_sums] = {};

    __device__ void run(const Factors & factors) {
#pragma unroll
        for (auto & sum : sums) {
            Instruction::run(sum, factors.a[0], factors.b[0]);
        }
#pragma unroll
        for (auto & sum : sums) {
            Instruction::run(sum, factors.a[0], factors.negative_b[0]);
        }
    }
    // Whether the sums are such as nobody can foresee: to know, all of them have to be computed.
    __device__ bool is_odd() const {
        typename Instruction::Sum all = sums[0];
        for (int i = 1; i < k_n_sums; i++) {
            all += sums[i];
        }
        return all == typename Instruction::Sum(0x3571);
    }
};

// A tile of 16 x 8 results of products of `k_depth`, by all lanes of a warp.
struct MmaF16IntoF32 {
    using Type = F16;
    using Sum  = float;
    static constexpr int k_n     = 4;
    static constexpr int k_depth = SLMPROF_CUDA_ARCH >= 800 ? 16 : SLMPROF_CUDA_ARCH >= 750 ? 8 : 0;
    static __device__ void run([[maybe_unused]] float (&d)[4], [[maybe_unused]] const uint32_t (&a)[4],
                               [[maybe_unused]] const uint32_t (&b)[2]) {
#if SLMPROF_CUDA_ARCH >= 800
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif SLMPROF_CUDA_ARCH >= 750
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(b[0]));
#endif
    }
};

struct MmaF16IntoF16 {
    using Type = F16;
    using Sum  = uint32_t;
    static constexpr int k_n     = 2;
    static constexpr int k_depth = SLMPROF_CUDA_ARCH >= 800 ? 16 : SLMPROF_CUDA_ARCH >= 750 ? 8 : 0;
    static __device__ void run([[maybe_unused]] uint32_t (&d)[2], [[maybe_unused]] const uint32_t (&a)[4],
                               [[maybe_unused]] const uint32_t (&b)[2]) {
#if SLMPROF_CUDA_ARCH >= 800
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%0, %1}, {%2, %3, %4, %5}, {%6, %7}, {%0, %1};"
                     : "+r"(d[0]), "+r"(d[1])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif SLMPROF_CUDA_ARCH >= 750
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f16.f16.f16.f16 {%0, %1}, {%2, %3}, {%4}, {%0, %1};"
                     : "+r"(d[0]), "+r"(d[1])
                     : "r"(a[0]), "r"(a[1]), "r"(b[0]));
#endif
    }
};

struct MmaBf16IntoF32 {
    using Type = Bf16;
    using Sum  = float;
    static constexpr int k_n     = 4;
    static constexpr int k_depth = SLMPROF_CUDA_ARCH >= 800 ? 16 : 0;
    static __device__ void run([[maybe_unused]] float (&d)[4], [[maybe_unused]] const uint32_t (&a)[4],
                               [[maybe_unused]] const uint32_t (&b)[2]) {
#if SLMPROF_CUDA_ARCH >= 800
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
    }
};

struct MmaTf32IntoF32 {
    using Type = F32;
    using Sum  = float;
    static constexpr int k_n     = 4;
    static constexpr int k_depth = SLMPROF_CUDA_ARCH >= 800 ? 8 : 0;
    static __device__ void run([[maybe_unused]] float (&d)[4], [[maybe_unused]] const uint32_t (&a)[4],
                               [[maybe_unused]] const uint32_t (&b)[2]) {
#if SLMPROF_CUDA_ARCH >= 800
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
    }
};

// Where a device has only half the rows, two of them are the tile.
struct MmaInt8IntoInt32 {
    using Type = Int8;
    using Sum  = int32_t;
    static constexpr int k_n     = 4;
    static constexpr int k_depth = SLMPROF_CUDA_ARCH >= 800 ? 32 : SLMPROF_CUDA_ARCH >= 750 ? 16 : 0;
    static __device__ void run([[maybe_unused]] int32_t (&d)[4], [[maybe_unused]] const uint32_t (&a)[4],
                               [[maybe_unused]] const uint32_t (&b)[2]) {
#if SLMPROF_CUDA_ARCH >= 800
        asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif SLMPROF_CUDA_ARCH >= 750
#    pragma unroll
        for (int half = 0; half < 2; half++) {
            asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
                         : "+r"(d[2 * half]), "+r"(d[2 * half + 1])
                         : "r"(a[half]), "r"(b[0]));
        }
#endif
    }
};

template <typename Instruction> struct TensorStep {
    using Type = typename Instruction::Type;
    static constexpr int k_operations = 2 * k_n_tiles * 2 * 16 * 8 * Instruction::k_depth;

    typename Instruction::Sum tiles[k_n_tiles][Instruction::k_n] = {};

    __device__ void run(const Factors & factors) {
#pragma unroll
        for (auto & tile : tiles) {
            Instruction::run(tile, factors.a, factors.b);
        }
#pragma unroll
        for (auto & tile : tiles) {
            Instruction::run(tile, factors.a, factors.negative_b);
        }
    }
    __device__ bool is_odd() const {
        typename Instruction::Sum all = 0;
        for (const auto & tile : tiles) {
            for (const auto & sum : tile) {
                all += sum;
            }
        }
        return all == typename Instruction::Sum(0x3571);
    }
};

}  // namespace slmprof::cuda
