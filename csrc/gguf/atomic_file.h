// A file that appears whole or not at all: written without a name, or where the file system cannot
// do that under a temporary one, in the folder of its destination; then synced and renamed.
// Destroyed without commit(), it leaves nothing behind; without a name, not even when the process
// is killed.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace slmprof {

// All members throw std::system_error whose text names the path and the cause.
class AtomicFile {
  public:
    explicit AtomicFile(std::string path);
    ~AtomicFile();
    AtomicFile(const AtomicFile &) = delete;
    AtomicFile & operator=(const AtomicFile &) = delete;

    void resize(uint64_t size_bytes);
    // Safe to call from several threads for ranges that do not overlap.
    void write_at(const void * data, size_t size_bytes, uint64_t offset_bytes);
    void commit();

  private:
    // Has the file created under temporary names until one of them is new; errno says why not.
    void take_name(const std::function<bool(const char *)> & create);
    [[noreturn]] void fail(const char * action, int error_number) const;

    std::string path_;
    std::string folder_; // with its slash; empty for the current one
    std::string temporary_path_;
    bool        has_name_   = false; // whether temporary_path_ exists
    int         descriptor_ = -1;
};

} // namespace slmprof
