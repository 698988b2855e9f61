// Any bytes as the header of a model file: read, looked through, written again as a retyped file is, and that
// read once more. Nothing but ModelFailure and std::invalid_argument may come of it.

#include "failures.h"
#include "gguf/header.h"
#include "memory/vocabulary.h"

#include "ggml.h"
#include "gguf.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

using namespace slmprof;

namespace {

constexpr uint64_t k_most_file_bytes = uint64_t{ 1 } << 40; // a hole takes no memory, but has its limits

// A file in memory alone, which can be opened by its path.
class MemoryFile {
  public:
    MemoryFile() : descriptor_(memfd_create("header", MFD_CLOEXEC)) {}
    ~MemoryFile() { close(descriptor_); }
    MemoryFile(const MemoryFile &)             = delete;
    MemoryFile & operator=(const MemoryFile &) = delete;

    std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

    void fill(const uint8_t * data, size_t size_bytes, uint64_t file_bytes) {
        check(ftruncate(descriptor_, 0) == 0);
        check(pwrite(descriptor_, data, size_bytes, 0) == ssize_t(size_bytes));
        check(ftruncate(descriptor_, off_t(file_bytes)) == 0);
    }

  private:
    static void check(bool is_done) {
        if (!is_done) {
            std::perror("a file in memory");
            std::abort();
        }
    }

    int descriptor_;
};

// As SourceModel has them.
std::vector<TensorSpec> list_tensors(const FileHeader & header) {
    std::vector<TensorSpec> tensors;
    ggml_context *          headers = header.tensors.get();
    for (ggml_tensor * t = ggml_get_first_tensor(headers); t != nullptr; t = ggml_get_next_tensor(headers, t)) {
        tensors.push_back({ ggml_get_name(t), std::vector<int64_t>(t->ne, t->ne + ggml_n_dims(t)), t->type });
    }
    return tensors;
}

// The same metadata and tensors in a file of slmprof's own.
GgufHeader written_again(const FileHeader & header, const std::vector<TensorSpec> & tensors) {
    const gguf_context_ptr gguf(gguf_init_empty());
    gguf_set_kv(gguf.get(), header.metadata.get());
    gguf_set_val_u32(gguf.get(), "general.quantization_version", 2);
    return GgufHeader(gguf.get(), tensors);
}

void expect(bool holds, const char * what) {
    if (!holds) {
        std::fprintf(stderr, "this does not hold: %s\n", what);
        std::abort();
    }
}

FileHeader read_again(const std::string & path) {
    try {
        return read_header(path);
    } catch (const ModelFailure &) {
        expect(false, "what slmprof writes can be read");
        throw;
    }
}

void read_and_write(const std::string & path, MemoryFile & again) {
    const FileHeader header = read_header(path);
    (void) text_bytes(header.metadata.get());
    const std::vector<TensorSpec> tensors = list_tensors(header);
    const GgufHeader              written = written_again(header, tensors);
    expect(written.tensors.size() == tensors.size(), "each tensor has a place");
    for (const DataRange & range : written.tensors) {
        expect(range.begin_bytes >= written.bytes.size(), "data follows the header");
        expect(range.begin_bytes + range.size_bytes <= written.file_bytes, "the file holds all data");
    }
    if (written.file_bytes > k_most_file_bytes) {
        return;
    }
    again.fill(written.bytes.data(), written.bytes.size(), written.file_bytes);
    const FileHeader found = read_again(again.path());
    expect(gguf_get_n_tensors(found.metadata.get()) == int64_t(tensors.size()), "all tensors are there again");
}

} // namespace

// The sanitizer's own default is to end the program where an allocation is refused; readers meet std::bad_alloc.
extern "C" const char * __asan_default_options() {
    return "allocator_may_return_null=1:detect_leaks=1";
}

extern "C" int LLVMFuzzerInitialize(int *, char ***) {
    ggml_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t * data, size_t size_bytes) {
    static MemoryFile file, again;
    file.fill(data, size_bytes, size_bytes);
    try {
        read_and_write(file.path(), again);
    } catch (const ModelFailure &) {
    } catch (const std::invalid_argument &) {
    }
    return 0;
}
