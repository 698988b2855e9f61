#include "machine/best_run.h"
#include "machine/ceilings.h"
#include "machine/microkernels.h"
#include "machine/team.h"

#include <cstring>

namespace slmprof {
namespace {

constexpr int64_t k_first_loops = 10'000;

// Ordinary numbers of a type: a processor may take its time over what is none, and save power over zeros.
struct alignas(64) Factor {
    uint8_t bytes[64];

    explicit Factor(const std::string & type) {
        const auto fill = [this](auto first) {
            for (size_t i = 0; i < sizeof(bytes) / sizeof(first); i++) {
                std::memcpy(bytes + i * sizeof(first), &first, sizeof(first));
            }
        };
        constexpr uint16_t k_one_bf16 = 0x3f80, k_one_f16 = 0x3c00;
        if (type == "f32") {
            fill(1.0f);
        } else if (type == "bf16") {
            fill(k_one_bf16);
        } else if (type == "f16") {
            fill(k_one_f16);
        } else {
            fill(uint8_t{ 85 });
        }
    }
};

// The shortest time of a loop, of repetitions that all threads run together.
double best_loop_ns(const Microkernel & kernel, int n_threads, const Cores & cores, double seconds) {
    const Factor      factor(kernel.type);
    Meeting           meeting(n_threads);
    std::vector<Span> spans(static_cast<size_t>(n_threads));
    // Written by thread 0 between two meetings, read by all after the second.
    int64_t n_loops = k_first_loops;
    bool    go_on   = true;
    BestRun best(seconds);
    run_together(n_threads, [&](int thread) {
        if (!cores.empty()) {
            stay_on(cores[static_cast<size_t>(thread) % cores.size()]);
        }
        Span & span = spans[static_cast<size_t>(thread)];
        // The first repetition wakes the processor's wide units and says how many loops make one long enough.
        for (bool is_first = true; go_on || is_first; is_first = false) {
            meeting.wait();
            span.begin_ns = monotonic_ns();
            kernel.run(factor.bytes, factor.bytes, n_loops);
            span.end_ns = monotonic_ns();
            meeting.wait();
            if (thread == 0) {
                const int64_t elapsed_ns = elapsed_together(spans);
                if (is_first) {
                    n_loops = std::max<int64_t>(2 * k_repetition_ns * n_loops / elapsed_ns, 1);
                    best    = BestRun(seconds);
                } else {
                    best.add(elapsed_ns);
                }
                go_on = is_first || !best.is_enough();
            }
            meeting.wait();
        }
    });
    return double(best.ns()) / double(n_loops);
}

}  // namespace

std::vector<InstructionRecord> measure_instructions(int n_threads, const Cores & cores, double seconds) {
    check_threads(n_threads);
    check_seconds(seconds);
    return apart([&] {
        std::vector<InstructionRecord> records;
        for (const Microkernel & kernel : microkernels()) {
            InstructionRecord record{ kernel.name, kernel.isa, kernel.type, {} };
            if (kernel.is_supported()) {
                record.gflops =
                    double(kernel.operations()) * n_threads / best_loop_ns(kernel, n_threads, cores, seconds);
            }
            records.push_back(record);
        }
        return records;
    });
}

}  // namespace slmprof
