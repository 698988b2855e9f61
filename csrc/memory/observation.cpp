#include "memory/observation.h"

#include <algorithm>
#include <numeric>

namespace slmprof {
namespace {

bool is_mapped(const RealBuffer & buffer) {
    return buffer.buffer_type.find("_Mapped") != std::string::npos;
}

AddressRange range_of(const RealBuffer & buffer) {
    return buffer.base == nullptr ? AddressRange{} : AddressRange{ reinterpret_cast<uintptr_t>(buffer.base), buffer.size_bytes };
}

// Where a mapped buffer holds weights that are not used there, because they lie in another buffer too.
std::vector<AddressRange> originals_in(int32_t number, const RealBuffer & buffer, const PlaceColumns & places) {
    const size_t              n = places.buffer.size();
    std::vector<AddressRange> own, others;
    int32_t                   file   = -1;
    int64_t                   origin = 0;  // of the buffer within the file
    for (size_t i = 0; i < n; i++) {
        if (places.buffer[i] == number) {
            own.push_back({ static_cast<uintptr_t>(places.offset_bytes[i]), static_cast<uint64_t>(places.size_bytes[i]) });
            if (places.file[i] >= 0) {
                file   = places.file[i];
                origin = places.file_offset_bytes[i] - places.offset_bytes[i];
            }
        }
    }
    const AddressRange whole{ 0, buffer.size_bytes };
    for (size_t i = 0; i < n && file >= 0; i++) {
        const int64_t offset = places.file_offset_bytes[i] - origin;
        if (places.buffer[i] == number || places.file[i] != file || offset < 0) {
            continue;
        }
        const AddressRange range{ static_cast<uintptr_t>(offset), static_cast<uint64_t>(places.size_bytes[i]) };
        const auto         meets = [&](const AddressRange & other) { return other.overlaps(range); };
        if (range.end() <= whole.end() && std::none_of(own.begin(), own.end(), meets) &&
            std::none_of(others.begin(), others.end(), meets)) {
            others.push_back(range);
        }
    }
    for (AddressRange & range : others) {
        range.begin += reinterpret_cast<uintptr_t>(buffer.base);
    }
    return others;
}

uint64_t size_of(const std::vector<AddressRange> & ranges) {
    return std::accumulate(ranges.begin(), ranges.end(), uint64_t{ 0 },
                           [](uint64_t sum, const AddressRange & range) { return sum + range.size; });
}

std::optional<uint64_t> resident_bytes(const PageMap & pages, const std::vector<AddressRange> & ranges) {
    uint64_t sum = 0;
    for (const AddressRange & range : ranges) {
        const auto resident = pages.resident_bytes(range);
        if (!resident) {
            return std::nullopt;
        }
        sum += *resident;
    }
    return sum;
}

// What of the heap is none of these ranges.
void reduce_heap(ProcessMemory & process, const PageMap & pages, const std::vector<AddressRange> & ranges) {
    for (const AddressRange & range : ranges) {
        const auto resident = pages.resident_bytes(process.heap.common_with(range));
        if (!resident || !process.heap_bytes) {
            process.heap_bytes.reset();
            return;
        }
        *process.heap_bytes -= std::min(*process.heap_bytes, *resident);
    }
}

}  // namespace

Observation observe(const std::string & point, int32_t n_past, const std::vector<AddressRange> & recorder,
                    const std::vector<RealBuffer> & buffers, const PlaceColumns & places) {
    Observation observation{ point, n_past };
    std::vector<AddressRange> models, others = recorder;
    for (const RealBuffer & buffer : buffers) {
        (is_mapped(buffer) ? models : others).push_back(range_of(buffer));
    }
    // Before anything is allocated here.
    observation.process = observe_process(models);

    const PageMap pages;
    reduce_heap(observation.process, pages, others);
    observation.recorder_bytes          = size_of(recorder);
    observation.recorder_resident_bytes = resident_bytes(pages, recorder);
    const int32_t n_placed = places.buffer.empty() ? 0 : *std::max_element(places.buffer.begin(), places.buffer.end()) + 1;
    for (size_t i = 0; i < buffers.size(); i++) {
        const RealBuffer & buffer = buffers[i];
        const auto         number = static_cast<int32_t>(i);
        BufferObservation  seen{ buffer, number < n_placed ? number : -1, pages.resident_bytes(range_of(buffer)) };
        if (is_mapped(buffer)) {
            const std::vector<AddressRange> originals = originals_in(number, buffer, places);
            seen.original_bytes                       = size_of(originals);
            seen.original_resident_bytes              = resident_bytes(pages, originals);
        }
        observation.buffers.push_back(seen);
    }
    return observation;
}

}  // namespace slmprof
