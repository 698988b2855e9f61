// The process and an engine's buffers as they are in memory at one moment.

#pragma once

#include "memory/buffers.h"
#include "memory/residency.h"

namespace slmprof {

// One allocation, with the number that its tensors' places have for it; of weights and caches only.
struct BufferObservation : BufferRecord {
    int32_t                 buffer = -1;
    std::optional<uint64_t> resident_bytes;
    // The part of a mapped file whose weights have been copied elsewhere, and how much of it is in memory.
    uint64_t                original_bytes = 0;
    std::optional<uint64_t> original_resident_bytes{};
};

struct Observation {
    std::string                    point;
    int32_t                        n_past = 0;
    ProcessMemory                  process{};           // its heap without the buffers in it
    uint64_t                       recorder_bytes = 0;  // slmprof's own buffers
    std::optional<uint64_t>        recorder_resident_bytes{};
    std::vector<BufferObservation> buffers{};
};

// `buffers` are those of `places`, in the order of their numbers, and the others behind them.
Observation observe(const std::string & point, int32_t n_past, const std::vector<AddressRange> & recorder,
                    const std::vector<RealBuffer> & buffers, const PlaceColumns & places);

}  // namespace slmprof
