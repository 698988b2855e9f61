#include "memory/residency.h"

#include <algorithm>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <map>
#include <sstream>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

namespace slmprof {
namespace {

constexpr uint64_t k_kib        = 1024;
constexpr uint64_t k_is_present = uint64_t(1) << 63;
// Entries of the page map that are read at once.
constexpr uint64_t k_entries = 1 << 14;

// The number behind `KEY:` in a line of status or smaps, which count in KiB.
std::optional<uint64_t> kib_of(const std::string & line, const std::string & key) {
    uint64_t value = 0;
    if (line.compare(0, key.size() + 1, key + ":") != 0 || !(std::istringstream(line.substr(key.size() + 1)) >> value)) {
        return std::nullopt;
    }
    return value * k_kib;
}

// The numbers behind these keys; those that the file lacks stay as they are.
void read_numbers(const std::string & path, const std::map<std::string, std::optional<uint64_t> *> & numbers) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        const auto number = numbers.find(line.substr(0, line.find(':')));
        if (number != numbers.end()) {
            *number->second = kib_of(line, number->first);
        }
    }
}

// The heap, and all mapped files but those whose mapping holds some of a model.
void read_mappings(const std::string & process, const std::vector<AddressRange> & models, ProcessMemory & memory) {
    std::ifstream file(process + "/smaps");
    if (!file) {
        return;
    }
    memory.library_bytes = memory.heap_bytes = 0;
    std::optional<uint64_t> * sum = nullptr;  // that the mapping counts to, by the line that heads it
    for (std::string line; std::getline(file, line);) {
        unsigned long begin = 0, end = 0;
        int           path = 0;
        if (std::sscanf(line.c_str(), "%lx-%lx %*s %*s %*s %*s %n", &begin, &end, &path) == 2) {
            const AddressRange range{ begin, end - begin };
            const std::string  name     = path > 0 ? line.substr(std::min<size_t>(path, line.size())) : "";
            const bool         is_model = std::any_of(models.begin(), models.end(),
                                                      [&](const AddressRange & model) { return model.overlaps(range); });
            sum = name[0] == '/' && !is_model ? &memory.library_bytes : nullptr;
            if (name == "[heap]") {
                sum         = &memory.heap_bytes;
                memory.heap = range;
            }
        } else if (const auto rss = sum != nullptr ? kib_of(line, "Rss") : std::nullopt) {
            **sum += *rss;
        }
    }
}

}  // namespace

ProcessMemory observe_process(const std::vector<AddressRange> & models, const std::string & process) {
    ProcessMemory memory;
    read_numbers(process + "/smaps_rollup",
                 { { "Rss", &memory.rss_bytes }, { "Pss", &memory.pss_bytes }, { "Anonymous", &memory.anonymous_bytes } });
    if (memory.rss_bytes && memory.anonymous_bytes) {
        memory.file_bytes = *memory.rss_bytes - std::min(*memory.rss_bytes, *memory.anonymous_bytes);
    }
    read_mappings(process, models, memory);
    read_numbers(process + "/status", { { "VmHWM", &memory.rss_peak_bytes } });
    struct rusage usage {};
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        memory.minor_faults = usage.ru_minflt;
        memory.major_faults = usage.ru_majflt;
    }
    return memory;
}

PageMap::PageMap(const std::string & process)
    : file_(open((process + "/pagemap").c_str(), O_RDONLY | O_CLOEXEC)),
      page_size_(static_cast<uint64_t>(sysconf(_SC_PAGESIZE))) {}

PageMap::~PageMap() {
    if (file_ >= 0) {
        close(file_);
    }
}

std::optional<uint64_t> PageMap::resident_bytes(const AddressRange & range) const {
    if (file_ < 0) {
        return std::nullopt;
    }
    if (range.size == 0) {
        return 0;
    }
    const uint64_t        first = range.begin / page_size_;
    const uint64_t        end   = (range.end() + page_size_ - 1) / page_size_;
    std::vector<uint64_t> entries(std::min(end - first, k_entries));
    uint64_t              resident = 0;
    for (uint64_t page = first; page < end;) {
        const uint64_t n = std::min<uint64_t>(end - page, entries.size());
        const ssize_t  n_read = pread(file_, entries.data(), n * sizeof(uint64_t), static_cast<off_t>(page * sizeof(uint64_t)));
        if (n_read < static_cast<ssize_t>(sizeof(uint64_t))) {
            return std::nullopt;
        }
        const uint64_t n_entries = static_cast<uint64_t>(n_read) / sizeof(uint64_t);
        for (uint64_t i = 0; i < n_entries; i++, page++) {
            if ((entries[i] & k_is_present) != 0) {
                const uint64_t begin_of_page = page * page_size_;
                resident += std::min<uint64_t>(range.end(), begin_of_page + page_size_) -
                            std::max<uint64_t>(range.begin, begin_of_page);
            }
        }
    }
    return resident;
}

}  // namespace slmprof
