#include "machine/microkernels.h"

#include <cstring>

#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
#    define SLMPROF_X86 1
#    include <cpuid.h>
#    include <immintrin.h>
#    if defined(__clang__) ? __clang_major__ >= 14 : __GNUC__ >= 12
#        define SLMPROF_X86_RECENT 1  // knows AVX-VNNI and BF16
#        ifdef __FLT16_MAX__
#            define SLMPROF_X86_FP16 1  // clang 14 knows FP16 only in what is compiled for it as a whole
#        endif
#    endif
#elif defined(__aarch64__)
#    include <arm_neon.h>
#endif

namespace slmprof {
namespace {

// As many sums as hide the latency of an instruction that adds itself (4 to 5 cycles, two a cycle); on x86 fewer
// where products are added by another one, of one cycle, and need registers of their own.
[[maybe_unused]] constexpr int64_t k_chained_sums = 12;
[[maybe_unused]] constexpr int64_t k_added_sums   = 6;

// A function `NAME` that adds STEP(sum) to each of N sums, n times. `KEEP` is the constraint of a vector register:
// after it the compiler no longer knows what is in `a`, so that no product can be hoisted or shared.
#define SLMPROF_MICROKERNEL(NAME, TARGET, VECTOR, FACTOR, KEEP, N, LOAD_A, LOAD_B, STEP, LANE)                         \
    TARGET double NAME(const void * left, const void * right, int64_t n) {                                             \
        FACTOR a       = LOAD_A;                                                                                       \
        FACTOR b       = LOAD_B;                                                                                       \
        VECTOR sums[N] = {};                                                                                           \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            SLMPROF_UNROLL                                                                                             \
            for (int64_t k = 0; k < N; k++) {                                                                          \
                __asm__ volatile("" : "+" KEEP(a));                                                                    \
                sums[k] = STEP;                                                                                        \
            }                                                                                                          \
        }                                                                                                              \
        double total = 0;                                                                                              \
        for (const VECTOR & sum : sums) {                                                                              \
            LANE lanes[sizeof(VECTOR) / sizeof(LANE)];                                                                 \
            std::memcpy(lanes, &sum, sizeof(lanes));                                                                   \
            for (const LANE lane : lanes) {                                                                            \
                total += double(lane);                                                                                 \
            }                                                                                                          \
        }                                                                                                              \
        return total;                                                                                                  \
    }

#ifdef __clang__
#    define SLMPROF_UNROLL _Pragma("clang loop unroll(full)")
#else
#    define SLMPROF_UNROLL _Pragma("GCC unroll 16")
#endif

#ifdef SLMPROF_X86

#    define SLMPROF_FOR(isa) __attribute__((target(isa)))
#    define SLMPROF_A128     _mm_load_si128(static_cast<const __m128i *>(left))
#    define SLMPROF_B128     _mm_load_si128(static_cast<const __m128i *>(right))
#    define SLMPROF_A256     _mm256_load_si256(static_cast<const __m256i *>(left))
#    define SLMPROF_B256     _mm256_load_si256(static_cast<const __m256i *>(right))
#    define SLMPROF_A512     _mm512_load_si512(left)
#    define SLMPROF_B512     _mm512_load_si512(right)

// 8-bit factors, 32-bit sums.
SLMPROF_MICROKERNEL(int8_sse2, SLMPROF_FOR("sse2"), __m128i, __m128i, "x", k_added_sums,
                    _mm_unpacklo_epi8(SLMPROF_A128, _mm_setzero_si128()),
                    _mm_srai_epi16(_mm_unpacklo_epi8(SLMPROF_B128, SLMPROF_B128), 8),
                    _mm_add_epi32(sums[k], _mm_madd_epi16(a, b)), int32_t)
SLMPROF_MICROKERNEL(int8_ssse3, SLMPROF_FOR("ssse3"), __m128i, __m128i, "x", k_added_sums, SLMPROF_A128, SLMPROF_B128,
                    _mm_add_epi32(sums[k], _mm_madd_epi16(_mm_maddubs_epi16(a, b), _mm_set1_epi16(1))), int32_t)
SLMPROF_MICROKERNEL(int8_avx2, SLMPROF_FOR("avx2"), __m256i, __m256i, "x", k_added_sums, SLMPROF_A256, SLMPROF_B256,
                    _mm256_add_epi32(sums[k], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1))), int32_t)
SLMPROF_MICROKERNEL(int8_avx512bw, SLMPROF_FOR("avx512f,avx512bw"), __m512i, __m512i, "v", k_added_sums, SLMPROF_A512,
                    SLMPROF_B512,
                    _mm512_add_epi32(sums[k], _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), _mm512_set1_epi16(1))), int32_t)
SLMPROF_MICROKERNEL(int8_avx512_vnni, SLMPROF_FOR("avx512f,avx512vnni"), __m512i, __m512i, "v", k_chained_sums,
                    SLMPROF_A512, SLMPROF_B512, _mm512_dpbusd_epi32(sums[k], a, b), int32_t)

// 32-bit floats.
SLMPROF_MICROKERNEL(f32_sse2, SLMPROF_FOR("sse2"), __m128, __m128, "x", k_chained_sums,
                    _mm_load_ps(static_cast<const float *>(left)), _mm_load_ps(static_cast<const float *>(right)),
                    _mm_add_ps(sums[k], _mm_mul_ps(a, b)), float)
SLMPROF_MICROKERNEL(f32_avx, SLMPROF_FOR("avx"), __m256, __m256, "x", k_chained_sums,
                    _mm256_load_ps(static_cast<const float *>(left)), _mm256_load_ps(static_cast<const float *>(right)),
                    _mm256_add_ps(sums[k], _mm256_mul_ps(a, b)), float)
SLMPROF_MICROKERNEL(f32_fma_128, SLMPROF_FOR("fma"), __m128, __m128, "x", k_chained_sums,
                    _mm_load_ps(static_cast<const float *>(left)), _mm_load_ps(static_cast<const float *>(right)),
                    _mm_fmadd_ps(a, b, sums[k]), float)
SLMPROF_MICROKERNEL(f32_fma_256, SLMPROF_FOR("fma"), __m256, __m256, "x", k_chained_sums,
                    _mm256_load_ps(static_cast<const float *>(left)), _mm256_load_ps(static_cast<const float *>(right)),
                    _mm256_fmadd_ps(a, b, sums[k]), float)
SLMPROF_MICROKERNEL(f32_avx512f, SLMPROF_FOR("avx512f"), __m512, __m512, "v", k_chained_sums, _mm512_load_ps(left),
                    _mm512_load_ps(right), _mm512_fmadd_ps(a, b, sums[k]), float)

#    ifdef SLMPROF_X86_RECENT
SLMPROF_MICROKERNEL(int8_avx_vnni, SLMPROF_FOR("avx2,avxvnni"), __m256i, __m256i, "x", k_chained_sums, SLMPROF_A256,
                    SLMPROF_B256, _mm256_dpbusd_avx_epi32(sums[k], a, b), int32_t)
SLMPROF_MICROKERNEL(bf16_avx512, SLMPROF_FOR("avx512f,avx512bf16"), __m512, __m512i, "v", k_chained_sums, SLMPROF_A512,
                    SLMPROF_B512, _mm512_dpbf16_ps(sums[k], (__m512bh) a, (__m512bh) b), float)
#    endif
#    ifdef SLMPROF_X86_FP16
SLMPROF_MICROKERNEL(f16_avx512, SLMPROF_FOR("avx512f,avx512fp16"), __m512h, __m512h, "v", k_chained_sums,
                    _mm512_load_ph(left), _mm512_load_ph(right), _mm512_fmadd_ph(a, b, sums[k]), _Float16)
#    endif

// What the processor has, and of it what the system saves when it changes threads.
struct Features {
    uint32_t basic = 0, ebx = 0, ecx = 0, edx = 0, more = 0;
    bool     has_ymm = false, has_zmm = false;
};

const Features & features() {
    static const Features found = [] {
        Features     f;
        uint32_t     a = 0, b = 0, c = 0, d = 0;
        constexpr uint32_t k_osxsave = 1U << 27;
        if (__get_cpuid(1, &a, &b, &c, &d)) {
            f.basic = c;
        }
        if ((f.basic & k_osxsave) != 0) {
            uint32_t low = 0, high = 0;
            __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
            f.has_ymm = (low & 0x06) == 0x06;
            f.has_zmm = (low & 0xe6) == 0xe6;
        }
        if (__get_cpuid_count(7, 0, &a, &f.ebx, &f.ecx, &f.edx) && a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) {
            f.more = a;
        }
        return f;
    }();
    return found;
}

constexpr bool bit(uint32_t word, int n) { return (word >> n & 1) != 0; }

bool has_sse2() { return true; }  // every x86-64
bool has_ssse3() { return bit(features().basic, 9); }
bool has_avx() { return features().has_ymm && bit(features().basic, 28); }
bool has_fma() { return has_avx() && bit(features().basic, 12); }
bool has_avx2() { return has_avx() && bit(features().ebx, 5); }
bool has_avx512f() { return features().has_zmm && bit(features().ebx, 16); }
bool has_avx512bw() { return has_avx512f() && bit(features().ebx, 30); }
bool has_avx512_vnni() { return has_avx512f() && bit(features().ecx, 11); }
#    ifdef SLMPROF_X86_RECENT
bool has_avx_vnni() { return has_avx2() && bit(features().more, 4); }
bool has_avx512_bf16() { return has_avx512f() && bit(features().more, 5); }
#    endif
#    ifdef SLMPROF_X86_FP16
bool has_avx512_fp16() { return has_avx512f() && bit(features().edx, 23); }
#    endif

#elif defined(__aarch64__)

#    define SLMPROF_NO_TARGET

// This file is compiled for Arm as ggml's own code is, so what is compiled is what that uses.
SLMPROF_MICROKERNEL(f32_neon, SLMPROF_NO_TARGET, float32x4_t, float32x4_t, "w", k_chained_sums,
                    vld1q_f32(static_cast<const float *>(left)), vld1q_f32(static_cast<const float *>(right)),
                    vfmaq_f32(sums[k], a, b), float)
SLMPROF_MICROKERNEL(int8_neon, SLMPROF_NO_TARGET, int32x4_t, int8x8_t, "w", k_chained_sums,
                    vld1_s8(static_cast<const int8_t *>(left)), vld1_s8(static_cast<const int8_t *>(right)),
                    vpadalq_s16(sums[k], vmull_s8(a, b)), int32_t)
#    ifdef __ARM_FEATURE_FP16_VECTOR_ARITHMETIC
SLMPROF_MICROKERNEL(f16_neon, SLMPROF_NO_TARGET, float16x8_t, float16x8_t, "w", k_chained_sums,
                    vld1q_f16(static_cast<const float16_t *>(left)), vld1q_f16(static_cast<const float16_t *>(right)),
                    vfmaq_f16(sums[k], a, b), float16_t)
#    endif
#    ifdef __ARM_FEATURE_MATMUL_INT8
// Two rows by two rows of eight.
SLMPROF_MICROKERNEL(int8_neon_i8mm, SLMPROF_NO_TARGET, int32x4_t, int8x16_t, "w", k_chained_sums,
                    vld1q_s8(static_cast<const int8_t *>(left)), vld1q_s8(static_cast<const int8_t *>(right)),
                    vmmlaq_s32(sums[k], a, b), int32_t)
#    endif
#    ifdef __ARM_FEATURE_DOTPROD
SLMPROF_MICROKERNEL(int8_neon_dotprod, SLMPROF_NO_TARGET, int32x4_t, int8x16_t, "w", k_chained_sums,
                    vld1q_s8(static_cast<const int8_t *>(left)), vld1q_s8(static_cast<const int8_t *>(right)),
                    vdotq_s32(sums[k], a, b), int32_t)
#    endif

bool has_what_it_is_compiled_for() { return true; }

#endif

}  // namespace

const std::vector<Microkernel> & microkernels() {
    static const std::vector<Microkernel> known = {
#ifdef SLMPROF_X86
        { "pmaddwd xmm", "sse2", "int8", 8, k_added_sums, has_sse2, int8_sse2 },
        { "pmaddubsw xmm", "ssse3", "int8", 16, k_added_sums, has_ssse3, int8_ssse3 },
        { "vpmaddubsw ymm", "avx2", "int8", 32, k_added_sums, has_avx2, int8_avx2 },
        { "vpmaddubsw zmm", "avx512bw", "int8", 64, k_added_sums, has_avx512bw, int8_avx512bw },
#    ifdef SLMPROF_X86_RECENT
        { "vpdpbusd ymm", "avx_vnni", "int8", 32, k_chained_sums, has_avx_vnni, int8_avx_vnni },
#    endif
        { "vpdpbusd zmm", "avx512_vnni", "int8", 64, k_chained_sums, has_avx512_vnni, int8_avx512_vnni },
        { "mulps xmm", "sse2", "f32", 4, k_chained_sums, has_sse2, f32_sse2 },
        { "vmulps ymm", "avx", "f32", 8, k_chained_sums, has_avx, f32_avx },
        { "vfmadd xmm", "fma", "f32", 4, k_chained_sums, has_fma, f32_fma_128 },
        { "vfmadd ymm", "fma", "f32", 8, k_chained_sums, has_fma, f32_fma_256 },
        { "vfmadd zmm", "avx512f", "f32", 16, k_chained_sums, has_avx512f, f32_avx512f },
#    ifdef SLMPROF_X86_RECENT
        { "vdpbf16ps zmm", "avx512_bf16", "bf16", 32, k_chained_sums, has_avx512_bf16, bf16_avx512 },
#    endif
#    ifdef SLMPROF_X86_FP16
        { "vfmaddph zmm", "avx512_fp16", "f16", 32, k_chained_sums, has_avx512_fp16, f16_avx512 },
#    endif
#elif defined(__aarch64__)
        { "smull v.8b", "neon", "int8", 8, k_chained_sums, has_what_it_is_compiled_for, int8_neon },
#    ifdef __ARM_FEATURE_DOTPROD
        { "sdot v.16b", "neon_dotprod", "int8", 16, k_chained_sums, has_what_it_is_compiled_for, int8_neon_dotprod },
#    endif
#    ifdef __ARM_FEATURE_MATMUL_INT8
        { "smmla v.16b", "neon_i8mm", "int8", 32, k_chained_sums, has_what_it_is_compiled_for, int8_neon_i8mm, 2 },
#    endif
        { "fmla v.4s", "neon", "f32", 4, k_chained_sums, has_what_it_is_compiled_for, f32_neon },
#    ifdef __ARM_FEATURE_FP16_VECTOR_ARITHMETIC
        { "fmla v.8h", "neon_fp16", "f16", 8, k_chained_sums, has_what_it_is_compiled_for, f16_neon },
#    endif
#endif
    };
    return known;
}

}  // namespace slmprof
