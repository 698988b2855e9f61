#include "kernels/guarded_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace slmprof {
namespace {

constexpr int k_filling = 0xA5;

size_t page_bytes() {
    static const auto size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return size;
}

}  // namespace

GuardedMemory::GuardedMemory(size_t size_bytes, Guard guard) {
    const size_t page  = page_bytes();
    const size_t inner = (size_bytes + page - 1) / page * page;
    mapped_bytes_      = inner + 2 * page;
    void * mapped      = mmap(nullptr, mapped_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        throw std::bad_alloc();
    }
    mapping_ = static_cast<char *>(mapped);
    if (inner > 0 && mprotect(mapping_ + page, inner, PROT_READ | PROT_WRITE) != 0) {
        munmap(mapping_, mapped_bytes_);
        throw std::bad_alloc();
    }
    std::memset(mapping_ + page, k_filling, inner);
    begin_ = mapping_ + page + (guard == Guard::behind ? inner - size_bytes : 0);
}

bool GuardedMemory::is_untouched(const void * bytes, size_t size_bytes) {
    const auto * begin = static_cast<const unsigned char *>(bytes);
    return std::all_of(begin, begin + size_bytes, [](unsigned char byte) { return byte == k_filling; });
}

GuardedMemory::~GuardedMemory() { munmap(mapping_, mapped_bytes_); }

void GuardedMemory::protect() { mprotect(mapping_ + page_bytes(), mapped_bytes_ - 2 * page_bytes(), PROT_READ); }

}  // namespace slmprof
