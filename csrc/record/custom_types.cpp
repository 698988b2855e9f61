#include "record/custom_types.h"

#include "record/forked.h"

#include "ggml.h"

#include <atomic>
#include <deque>
#include <mutex>
#include <stdexcept>

namespace slmprof {
namespace {

std::mutex                    types_mutex;
[[maybe_unused]] const bool   is_taken = taken_for_forks<types_mutex>();
std::atomic<CustomTypeFinder> types_finder{ nullptr };

// A deque, whose elements never move.
std::deque<CustomType> & types() {
    static std::deque<CustomType> all;
    return all;
}

}  // namespace

size_t CustomType::size_bytes(const ggml_tensor * tensor) const {
    return row_bytes(tensor->ne[0]) * static_cast<size_t>(ggml_nrows(tensor));
}

uint32_t add_custom_type(const CustomType & type) {
    const std::lock_guard<std::mutex> lock(types_mutex);
    for (size_t i = 0; i < types().size(); i++) {
        const CustomType & known = types()[i];
        if (known.name == type.name && known.block_size == type.block_size && known.type_size == type.type_size) {
            return static_cast<uint32_t>(i);
        }
    }
    if (types().size() == k_most_custom_types) {
        throw std::length_error("this process knows " + std::to_string(k_most_custom_types) + " schemes already");
    }
    types().push_back(type);
    return static_cast<uint32_t>(types().size() - 1);
}

uint32_t n_custom_types() {
    const std::lock_guard<std::mutex> lock(types_mutex);
    return static_cast<uint32_t>(types().size());
}

const CustomType & custom_type(uint32_t number) {
    const std::lock_guard<std::mutex> lock(types_mutex);
    return types().at(number);
}

const CustomType * custom_type_of(const ggml_tensor * tensor) {
    const CustomTypeFinder finder = types_finder.load(std::memory_order_acquire);
    return finder != nullptr ? finder(tensor) : nullptr;
}

void find_custom_types_by(CustomTypeFinder finder) { types_finder.store(finder, std::memory_order_release); }

}  // namespace slmprof
