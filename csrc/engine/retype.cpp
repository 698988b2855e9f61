#include "engine/retype.h"

#include "failures.h"
#include "engine/model.h"
#include "engine/settings.h"
#include "engine/tensor_choice.h"
#include "gguf/header.h"
#include "memory/memory_notes.h"

#include "gguf.h"
#include "llama.h"

#include <array>
#include <vector>

namespace slmprof {

namespace {

constexpr const char * k_split_count = "split.count";

// All parts of a split model, or the one file.
std::vector<FileHeader> read_parts(const std::string & path) {
    std::vector<FileHeader> parts;
    parts.push_back(read_header(path));
    const int64_t key      = gguf_find_key(parts[0].metadata.get(), k_split_count);
    const bool    is_split = key >= 0 && gguf_get_kv_type(parts[0].metadata.get(), key) == GGUF_TYPE_UINT16;
    const int     n_parts  = is_split ? int(gguf_get_val_u16(parts[0].metadata.get(), key)) : 1;
    if (n_parts < 2) {
        return parts;
    }
    std::array<char, 4096> prefix = {};
    if (llama_split_prefix(prefix.data(), prefix.size(), path.c_str(), 0, n_parts) == 0) {
        throw ModelFailure(path + " is not the first part of a split model");
    }
    for (int i = 1; i < n_parts; ++i) {
        std::array<char, 4096> name = {};
        llama_split_path(name.data(), name.size(), prefix.data(), i, n_parts);
        parts.push_back(read_header(name.data()));
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

} // namespace

void retype_outline(const std::string & source, const std::string & target, const std::string & file_type) {
    const int number = synth_file_type_number(file_type);
    EngineSettings settings;
    settings.path     = source;
    MemoryNotes notes = MemoryNotes::planned(false);
    const Model model(settings, notes);

    const std::vector<FileHeader> parts   = read_parts(source);
    const std::vector<TensorSpec> tensors = list_tensors(parts);
    const std::vector<ggml_type>  types   = choose_tensor_types(*model.get(), file_type, tensors);
    std::vector<TensorSpec>       outline;
    for (const size_t i : loader_order(tensors)) { // which is how llama-quantize writes them
        outline.push_back(tensors[i]);
        outline.back().type = types[i];
    }

    const gguf_context_ptr gguf(gguf_init_empty());
    gguf_set_kv(gguf.get(), parts[0].metadata.get());
    gguf_set_val_u32(gguf.get(), "general.quantization_version", GGML_QNT_VERSION);
    gguf_set_val_u32(gguf.get(), "general.file_type", uint32_t(number));
    for (const char * key : { "split.no", k_split_count, "split.tensors.count" }) {
        gguf_remove_key(gguf.get(), key);
    }
    write_outline(target, GgufHeader(gguf.get(), outline));
}

} // namespace slmprof
