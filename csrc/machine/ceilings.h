// What this machine can do at best at a given number of threads: bytes per second at one size of working
// set, operations per second of single instructions, and of ggml's own matrix products.
// docs/roofline.md says how.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace slmprof {

struct BandwidthRecord {
    std::string operation;  // read, copy, triad
    double      gbps = 0;   // 10^9 bytes per second, all threads together
};

struct ArithmeticRecord {
    int         n_columns = 0;
    std::string impl;        // plain, repack, or the name of another buffer type of the CPU backend
    double      gflops = 0;  // 10^9 operations per second, all threads together
};

// Of a microkernel: integer operations count as flops. Without a figure where the processor lacks the instruction.
struct InstructionRecord {
    std::string           name;  // the instruction, and the width of its registers
    std::string           isa;
    std::string           type;        // of the factors: int8, f32, f16, bf16
    std::optional<double> gflops = {};  // 10^9 operations per second, all threads together
};

// Where threads run: thread i on core cores[i % cores.size()], or where the system likes if empty.
// A thread that stays on a core of its own is disturbed by another load now and then only; two that
// the system has put on one core would wait for each other all the time.
using Cores = std::vector<int>;

// The best of repeated passes of n threads, each over its own part of `working_set_bytes`, which
// all arrays of an operation share; `seconds` for each operation. Of a pass that is long enough to be cut
// into chunks, the rate that a quarter of the chunks exceed. Bytes count as STREAM counts
// them: one array for read, two for copy, three for triad.
// Throws std::invalid_argument, std::bad_alloc, and std::system_error where no thread can be had.
std::vector<BandwidthRecord> measure_bandwidth(uint64_t working_set_bytes, int n_threads, const Cores & cores,
                                               double seconds);

// The best of repeated runs of each microkernel that this build was compiled with; `seconds` for each.
// Throws std::invalid_argument, and std::system_error where no thread can be had.
std::vector<InstructionRecord> measure_instructions(int n_threads, const Cores & cores, double seconds);

// ggml's names of the types that matrices can have in a product on the CPU.
std::vector<std::string> arithmetic_types();

// The best of repeated products of a matrix of this type with each number of columns, for each
// buffer type in which the CPU backend has a product for it. The matrix has about
// `matrix_bytes_per_thread` for each thread; `seconds` for each figure.
// Throws std::invalid_argument and std::runtime_error.
std::vector<ArithmeticRecord> measure_arithmetic(const std::string & type, const std::vector<int> & n_columns,
                                                 int n_threads, const Cores & cores,
                                                 uint64_t matrix_bytes_per_thread, double seconds);

// Nanoseconds that an op with a single element costs in a long graph. Throws std::runtime_error.
double measure_op_ns(int n_threads, const Cores & cores, double seconds);

}  // namespace slmprof
