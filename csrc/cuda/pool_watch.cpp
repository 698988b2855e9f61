#include "cuda/pool_watch.h"

#include <algorithm>
#include <stdexcept>

namespace slmprof {

std::atomic<PoolWatch *> PoolWatch::active_{ nullptr };

void PoolWatch::observe() {
    PoolWatch * before = nullptr;
    if (!active_.compare_exchange_strong(before, this) && before != this) {
        throw std::logic_error("pools are watched already in this process");
    }
}

void PoolWatch::ignore() {
    PoolWatch * self = this;
    active_.compare_exchange_strong(self, nullptr);
}

void PoolWatch::reserve(const void * pool, int32_t device, uint64_t size_bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Held &    mine            = held(pool, device);
    PoolUse & all             = use(device);
    all.reserved_bytes        = all.reserved_bytes - mine.reserved_bytes + size_bytes;
    all.most_reserved_bytes   = std::max(all.most_reserved_bytes, all.reserved_bytes);
    mine.reserved_bytes       = size_bytes;
    if (size_bytes == 0) {  // it is gone, and another may be made at its address
        all.used_bytes -= mine.used_bytes;
        pools_.erase(pool);
    }
}

void PoolWatch::take(const void * pool, int32_t device, uint64_t size_bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    PoolUse & all = use(device);
    held(pool, device).used_bytes += size_bytes;
    all.used_bytes += size_bytes;
    if (all.used_bytes <= all.most_used_bytes) {
        return;
    }
    all.most_used_bytes = all.used_bytes;
    all.op.clear();
    all.tensor.clear();
    if (const void * node = node_.load(std::memory_order_relaxed)) {
        describe_.load(std::memory_order_relaxed)(node, all.op, all.tensor);
    }
}

void PoolWatch::give(const void * pool, int32_t device, uint64_t size_bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Held &         mine  = held(pool, device);
    const uint64_t given = std::min(size_bytes, mine.used_bytes);
    mine.used_bytes -= given;
    use(device).used_bytes -= given;
}

void PoolWatch::set_workspaces(const void * context, int32_t device, uint64_t size_bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    workspaces_[{ context, device }] = size_bytes;
    PoolUse & all                    = use(device);
    all.workspace_bytes              = 0;
    for (const auto & [key, size] : workspaces_) {
        all.workspace_bytes += key.second == device ? size : 0;
    }
}

std::vector<PoolUse> PoolWatch::uses() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<PoolUse>              all;
    for (const auto & [device, use] : uses_) {
        all.push_back(use);
    }
    return all;
}

PoolWatch::Held & PoolWatch::held(const void * pool, int32_t device) { return pools_.try_emplace(pool, Held{ device, 0, 0 }).first->second; }

PoolUse & PoolWatch::use(int32_t device) {
    PoolUse & found = uses_[device];
    found.device    = device;
    return found;
}

}  // namespace slmprof
