#include "gguf/atomic_file.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <utility>
#include <unistd.h>

namespace slmprof {
namespace {

constexpr int    k_name_attempts = 100;
constexpr mode_t k_mode          = 0666; // the umask decides, as for any file a user writes

void sync_folder(const std::string & folder) {
    // The file is safe without it; the new name may not be. Not every file system allows it.
    const int descriptor = open(folder.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0) {
        (void) fsync(descriptor);
        (void) close(descriptor);
    }
}

} // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
    struct stat status = {};
    if (stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
        // Renaming over a device or a pipe would replace it.
        fail("write", S_ISDIR(status.st_mode) ? EISDIR : EINVAL);
    }
    const size_t slash = path_.find_last_of('/');
    folder_ = slash == std::string::npos ? "" : path_.substr(0, slash + 1);
#ifdef O_TMPFILE
    descriptor_ = open(folder_.empty() ? "." : folder_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, k_mode);
#endif
    if (descriptor_ < 0) {
        take_name([this](const char * name) {
            descriptor_ = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, k_mode);
            return descriptor_ >= 0;
        });
    }
    if (descriptor_ < 0) {
        fail("create", errno);
    }
}

AtomicFile::~AtomicFile() {
    if (descriptor_ >= 0) {
        (void) close(descriptor_);
    }
    if (has_name_) {
        (void) unlink(temporary_path_.c_str());
    }
}

// The destination's name is not part of it, so that a name of maximal length still works.
void AtomicFile::take_name(const std::function<bool(const char *)> & create) {
    static std::atomic<unsigned> counter{ 0 };
    for (int attempt = 0; attempt < k_name_attempts && !has_name_; ++attempt) {
        temporary_path_ = folder_ + ".slmprof-" + std::to_string(getpid()) + "-" + std::to_string(counter++) + ".tmp";
        has_name_       = create(temporary_path_.c_str());
        if (!has_name_ && errno != EEXIST) {
            break;
        }
    }
}

void AtomicFile::resize(uint64_t size_bytes) {
    if (ftruncate(descriptor_, off_t(size_bytes)) != 0) {
        fail("write", errno);
    }
}

void AtomicFile::write_at(const void * data, size_t size_bytes, uint64_t offset_bytes) {
    const auto * bytes = static_cast<const char *>(data);
    while (size_bytes > 0) {
        const ssize_t n = pwrite(descriptor_, bytes, size_bytes, off_t(offset_bytes));
        if (n >= 0) {
            bytes += n;
            size_bytes -= size_t(n);
            offset_bytes += uint64_t(n);
        } else if (errno != EINTR) {
            fail("write", errno);
        }
    }
}

void AtomicFile::commit() {
    if (fsync(descriptor_) != 0) {
        fail("write", errno);
    }
    // A file without a name can be given one, but not that of a file that exists: hence two steps.
    const std::string self = "/proc/self/fd/" + std::to_string(descriptor_);
    take_name([&](const char * name) { return linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0; });
    if (!has_name_ || std::rename(temporary_path_.c_str(), path_.c_str()) != 0) {
        fail("write", errno);
    }
    has_name_ = false;
    (void) close(std::exchange(descriptor_, -1));
    sync_folder(folder_.empty() ? "." : folder_);
}

void AtomicFile::fail(const char * action, int error_number) const {
    throw std::system_error(error_number, std::generic_category(), std::string("cannot ") + action + " " + path_);
}

} // namespace slmprof
