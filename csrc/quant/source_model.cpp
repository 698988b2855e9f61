#include "quant/source_model.h"

#include "failures.h"
#include "engine/settings.h"

#include "gguf.h"
#include "llama.h"

#include <array>
#include <utility>

namespace slmprof {

namespace {

constexpr const char * k_split_count = "split.count";

// The paths of all parts of a split model, or of the one file.
std::vector<std::string> part_paths(const std::string & path) {
    const FileHeader first    = read_header(path);
    const int64_t    key      = gguf_find_key(first.metadata.get(), k_split_count);
    const bool       is_split = key >= 0 && gguf_get_kv_type(first.metadata.get(), key) == GGUF_TYPE_UINT16;
    const int        n_parts  = is_split ? int(gguf_get_val_u16(first.metadata.get(), key)) : 1;
    if (n_parts < 2) {
        return { path };
    }
    std::array<char, 4096> prefix = {};
    if (llama_split_prefix(prefix.data(), prefix.size(), path.c_str(), 0, n_parts) == 0) {
        throw ModelFailure(path + " is not the first part of a split model");
    }
    std::vector<std::string> paths;
    for (int i = 0; i < n_parts; ++i) {
        std::array<char, 4096> name = {};
        llama_split_path(name.data(), name.size(), prefix.data(), i, n_parts);
        paths.emplace_back(name.data());
    }
    return paths;
}

std::vector<FileHeader> read_parts(const std::vector<std::string> & paths) {
    std::vector<FileHeader> parts;
    for (const std::string & path : paths) {
        parts.push_back(read_header(path));
    }
    return parts;
}

std::vector<TensorSpec> list_tensors(const std::vector<FileHeader> & parts) {
    std::vector<TensorSpec> tensors;
    for (const FileHeader & part : parts) {
        ggml_context * headers = part.tensors.get();
        for (const ggml_tensor * t = ggml_get_first_tensor(headers); t != nullptr;
             t = ggml_get_next_tensor(headers, const_cast<ggml_tensor *>(t))) {
            tensors.push_back({ ggml_get_name(t), std::vector<int64_t>(t->ne, t->ne + ggml_n_dims(t)), t->type });
        }
    }
    return tensors;
}

// In the order of list_tensors(): a context lists its tensors as the file does.
std::vector<DataPlace> list_places(const std::vector<FileHeader> & parts) {
    std::vector<DataPlace> places;
    for (size_t part = 0; part < parts.size(); ++part) {
        const gguf_context * file = parts[part].metadata.get();
        for (int64_t i = 0; i < gguf_get_n_tensors(file); ++i) {
            const uint64_t begin = gguf_get_data_offset(file) + gguf_get_tensor_offset(file, i);
            places.push_back({ part, { begin, gguf_get_tensor_size(file, i) } });
        }
    }
    return places;
}

EngineSettings settings_of(const std::string & path, std::shared_ptr<const KernelScheme> scheme) {
    EngineSettings settings;
    settings.path   = path;
    settings.scheme = std::move(scheme);
    return settings;
}

} // namespace

SourceModel::SourceModel(const std::string & path, std::shared_ptr<const KernelScheme> scheme)
    : notes_(MemoryNotes::planned(false)), model_(settings_of(path, std::move(scheme)), notes_), paths_(part_paths(path)),
      parts_(read_parts(paths_)), tensors_(list_tensors(parts_)), places_(list_places(parts_)) {}

gguf_context_ptr SourceModel::metadata() const {
    gguf_context_ptr gguf(gguf_init_empty());
    gguf_set_kv(gguf.get(), parts_[0].metadata.get());
    for (const char * key : { "split.no", k_split_count, "split.tensors.count" }) {
        gguf_remove_key(gguf.get(), key);
    }
    return gguf;
}

} // namespace slmprof
