// What this process has in memory, as the system tells it: all of it, and of a range of addresses.

#pragma once

#include "record/places.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace slmprof {

// Where the system tells of this process; tests name another folder.
constexpr const char * k_own_process = "/proc/self";

// Nothing where the system does not tell.
struct ProcessMemory {
    std::optional<uint64_t> rss_bytes, pss_bytes;
    std::optional<uint64_t> anonymous_bytes, file_bytes;  // of the resident ones; together all of them
    std::optional<uint64_t> rss_peak_bytes;               // since the process began
    std::optional<uint64_t> library_bytes;                // resident of mapped files but the excluded ranges
    std::optional<uint64_t> heap_bytes;                   // resident of the heap, where malloc puts small blocks
    std::optional<uint64_t> minor_faults, major_faults;
    AddressRange            heap;
};

// `models` are ranges in mapped files that are no libraries.
ProcessMemory observe_process(const std::vector<AddressRange> & models = {}, const std::string & process = k_own_process);

// Which pages of this process are in memory.
class PageMap {
  public:
    explicit PageMap(const std::string & process = k_own_process);
    ~PageMap();
    PageMap(const PageMap &)             = delete;
    PageMap & operator=(const PageMap &) = delete;

    // How many bytes of a range lie in resident pages; a page counts as far as it is in the range.
    std::optional<uint64_t> resident_bytes(const AddressRange & range) const;

  private:
    int      file_ = -1;
    uint64_t page_size_;
};

}  // namespace slmprof
