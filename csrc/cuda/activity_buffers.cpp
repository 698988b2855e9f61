#include "cuda/activity_buffers.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace slmprof {
namespace {

// What CUPTI may still write to when its owner has gone: kept until the process ends.
void keep(std::unique_ptr<uint8_t[]> data) {
    static std::mutex mutex;
    static auto &     kept = *new std::vector<std::unique_ptr<uint8_t[]>>;
    const std::lock_guard<std::mutex> lock(mutex);
    kept.push_back(std::move(data));
}

}  // namespace

ActivityBuffers::ActivityBuffers(size_t n_buffers, size_t size_bytes) : size_bytes_(size_bytes) {
    for (size_t i = 0; i < n_buffers; i++) {
        // new aligns to 16 bytes, CUPTI needs 8. Touched here rather than in a step.
        Buffer buffer{ std::unique_ptr<uint8_t[]>(new uint8_t[size_bytes]) };
        std::memset(buffer.data.get(), 0, size_bytes);
        empty_.push_back(buffer.data.get());
        buffers_.push_back(std::move(buffer));
    }
}

ActivityBuffers::~ActivityBuffers() {
    for (Buffer & buffer : buffers_) {
        if (buffer.is_lent) {
            keep(std::move(buffer.data));
        }
    }
}

uint8_t * ActivityBuffers::request() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (empty_.empty()) {
        return nullptr;
    }
    uint8_t * const data = empty_.back();
    empty_.pop_back();
    find(data)->is_lent = true;
    return data;
}

void ActivityBuffers::complete(uint8_t * data, size_t used_bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (Buffer * buffer = find(data)) {
        buffer->is_lent = false;
        filled_.push_back({ data, used_bytes });
    }
}

void ActivityBuffers::add_dropped(int64_t n) {
    const std::lock_guard<std::mutex> lock(mutex_);
    n_dropped_ += n;
}

std::vector<ActivityBuffers::Filled> ActivityBuffers::take_filled() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(filled_, {});
}

void ActivityBuffers::give_back(uint8_t * buffer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    empty_.push_back(buffer);
}

int64_t ActivityBuffers::take_n_dropped() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(n_dropped_, 0);
}

bool ActivityBuffers::is_nearly_full() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return empty_.size() * 2 < buffers_.size();
}

std::vector<AddressRange> ActivityBuffers::memory() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<AddressRange>         ranges;
    for (const Buffer & buffer : buffers_) {
        ranges.push_back(range_of(buffer.data.get(), size_bytes_));
    }
    return ranges;
}

bool ActivityBuffers::has_lent() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::any_of(buffers_.begin(), buffers_.end(), [](const Buffer & buffer) { return buffer.is_lent; });
}

ActivityBuffers::Buffer * ActivityBuffers::find(const uint8_t * data) {
    const auto is_it = [data](const Buffer & buffer) { return buffer.data.get() == data; };
    const auto found = std::find_if(buffers_.begin(), buffers_.end(), is_it);
    return found != buffers_.end() ? &*found : nullptr;
}

}  // namespace slmprof
