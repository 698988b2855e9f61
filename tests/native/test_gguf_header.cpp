#include "failures.h"
#include "gguf/header.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

using namespace slmprof;

namespace {

using Bytes = std::vector<uint8_t>;

// A file in the system's folder for such, as long as it lives.
class TemporaryFile {
  public:
    explicit TemporaryFile(const Bytes & bytes) :
        path_(std::filesystem::temp_directory_path() / ("slmprof-native-" + std::to_string(getpid()) + ".gguf")) {
        std::ofstream stream(path_, std::ios::binary);
        stream.write(reinterpret_cast<const char *>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    ~TemporaryFile() { std::filesystem::remove(path_); }
    TemporaryFile(const TemporaryFile &)             = delete;
    TemporaryFile & operator=(const TemporaryFile &) = delete;

    std::string path() const { return path_.string(); }

  private:
    std::filesystem::path path_;
};

FileHeader read(const Bytes & bytes) {
    ggml_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    const TemporaryFile file(bytes);
    return read_header(file.path());
}

const std::vector<TensorSpec> k_tensors = { { "token_embd.weight", { 256, 8 }, GGML_TYPE_Q4_K },
                                            { "output_norm.weight", { 256 }, GGML_TYPE_F32 } };

// A whole file of these tensors, its data zeros.
Bytes whole_file() {
    const Metadata   metadata = { { "general.architecture", std::string("llama") }, { "llama.block_count", uint32_t{ 2 } } };
    const GgufHeader header(metadata, k_tensors);
    Bytes            bytes = header.bytes;
    bytes.resize(header.file_bytes);
    return bytes;
}

template <typename T> void append(Bytes & bytes, T value) {
    const auto * raw = reinterpret_cast<const uint8_t *>(&value);
    bytes.insert(bytes.end(), raw, raw + sizeof(value));
}

}  // namespace

TEST_SUITE_BEGIN("gguf header");

TEST_CASE("what is written can be read") {
    const FileHeader header = read(whole_file());
    const auto *     gguf   = header.metadata.get();
    CHECK(std::string(gguf_get_val_str(gguf, gguf_find_key(gguf, "general.architecture"))) == "llama");
    CHECK(gguf_get_val_u32(gguf, gguf_find_key(gguf, "llama.block_count")) == 2);
    REQUIRE(gguf_get_n_tensors(gguf) == 2);
    const ggml_tensor * embedding = ggml_get_tensor(header.tensors.get(), "token_embd.weight");
    REQUIRE(embedding != nullptr);
    CHECK(embedding->type == GGML_TYPE_Q4_K);
    CHECK(embedding->ne[0] == 256);
    CHECK(embedding->ne[1] == 8);
    CHECK(embedding->data == nullptr);
}

TEST_CASE("the places of data follow the header, each padded") {
    const GgufHeader header(Metadata{}, k_tensors);
    REQUIRE(header.tensors.size() == 2);
    CHECK(header.tensors[0].begin_bytes == header.bytes.size());
    CHECK(header.tensors[0].size_bytes == 8 * 144);
    CHECK(header.tensors[1].begin_bytes == header.bytes.size() + 8 * 144);
    CHECK(header.tensors[1].size_bytes == 1024);
    CHECK(header.file_bytes == header.bytes.size() + 8 * 144 + 1024);
    CHECK(header.bytes.size() % 32 == 0);
}

TEST_CASE("a header that ends too early is refused wherever it ends") {
    const Bytes  whole  = whole_file();
    const size_t n_data = 8 * 144 + 1024;
    // The last bytes of the header are padding, of which ggml may need none.
    for (size_t length = 0; length + 32 < whole.size() - n_data; length++) {
        CAPTURE(length);
        CHECK_THROWS_AS(read(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length))), ModelFailure);
    }
}

TEST_CASE("a damaged header is refused") {
    const auto is_refused = [](size_t offset, uint8_t value) {
        Bytes bytes   = whole_file();
        bytes[offset] = value;
        CAPTURE(offset);
        CHECK_THROWS_AS(read(bytes), ModelFailure);
    };
    is_refused(0, 'X');        // the magic
    is_refused(4, 99);         // version
    is_refused(8 + 7, 0x7F);   // number of tensors
    is_refused(16 + 7, 0x7F);  // number of metadata entries
    is_refused(24 + 7, 0x7F);  // length of the first key
}

TEST_CASE("a key without a name is refused") {
    const auto with_key = [](const std::string & key) {
        Bytes bytes = { 'G', 'G', 'U', 'F' };
        append(bytes, uint32_t{ 3 });
        append(bytes, int64_t{ 0 });
        append(bytes, int64_t{ 1 });
        append(bytes, static_cast<uint64_t>(key.size()));
        bytes.insert(bytes.end(), key.begin(), key.end());
        append(bytes, static_cast<uint32_t>(GGUF_TYPE_UINT32));
        append(bytes, uint32_t{ 7 });
        bytes.resize(128);  // where the data would begin
        return bytes;
    };
    CHECK(gguf_get_n_kv(read(with_key("x")).metadata.get()) == 1);
    CHECK_THROWS_AS(read(with_key("")), ModelFailure);
    CHECK_THROWS_AS(read(with_key(std::string(1, '\0'))), ModelFailure);  // which ggml itself lets pass
}

TEST_CASE("a tensor of an impossible shape is refused") {
    const auto with_shape = [](const std::vector<int64_t> & shape) {
        Bytes bytes = { 'G', 'G', 'U', 'F' };
        append(bytes, uint32_t{ 3 });
        append(bytes, int64_t{ 1 });
        append(bytes, int64_t{ 0 });
        append(bytes, uint64_t{ 1 });
        bytes.push_back('a');
        append(bytes, static_cast<uint32_t>(shape.size()));
        for (const int64_t length : shape) {
            append(bytes, length);
        }
        append(bytes, static_cast<uint32_t>(GGML_TYPE_F32));
        append(bytes, uint64_t{ 0 });
        bytes.resize(256);
        return bytes;
    };
    CHECK(gguf_get_n_tensors(read(with_shape({ 4, 2 })).metadata.get()) == 1);
    CHECK_THROWS_AS(read(with_shape({ 4, 0 })), ModelFailure);
    // ggml's own reader counts the elements of this, none, and then aborts.
    CHECK_THROWS_AS(read(with_shape({ 12, 0, int64_t{ 1 } << 62 })), ModelFailure);
    CHECK_THROWS_AS(read(with_shape({ int64_t{ 1 } << 45, int64_t{ 1 } << 15 })), ModelFailure);
}

TEST_CASE("tensors that cannot stand in a file are named") {
    const auto refusal = [](const std::vector<TensorSpec> & tensors) {
        try {
            GgufHeader(Metadata{}, tensors);
        } catch (const std::invalid_argument & error) {
            return std::string(error.what());
        }
        return std::string();
    };
    CHECK(refusal({ { "a", { 100 }, GGML_TYPE_Q4_K } }).find("q4_K") != std::string::npos);
    CHECK(refusal({ { "twin", { 4 }, GGML_TYPE_F32 }, { "twin", { 4 }, GGML_TYPE_F32 } }).find("twin") != std::string::npos);
    CHECK(refusal({ { "empty", { 0 }, GGML_TYPE_F32 } }).find("empty") != std::string::npos);
    CHECK(refusal({ { "deep", { 1, 1, 1, 1, 1 }, GGML_TYPE_F32 } }).find("deep") != std::string::npos);
    CHECK(refusal({ { "huge", { int64_t{ 1 } << 40, int64_t{ 1 } << 40 }, GGML_TYPE_F32 } }).find("huge") != std::string::npos);
    CHECK(refusal({ { std::string(200, 'n'), { 4 }, GGML_TYPE_F32 } }) != "");
    CHECK(refusal(k_tensors) == "");
}

TEST_SUITE_END();
