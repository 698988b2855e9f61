#include "gguf/header.h"

#include "failures.h"

#include <cctype>
#include <new>
#include <stdexcept>
#include <type_traits>

namespace slmprof {

namespace {

constexpr int64_t k_max_bytes = int64_t(1) << 46; // no tensor is larger; keeps products in range

bool equals_ignoring_case(const std::string & a, const char * b) {
    size_t i = 0;
    for (; i < a.size() && b[i] != '\0'; ++i) {
        if (std::tolower(static_cast<unsigned char>(a[i])) != std::tolower(static_cast<unsigned char>(b[i]))) {
            return false;
        }
    }
    return i == a.size() && b[i] == '\0';
}

void set_metadata(gguf_context * context, const std::string & key, const MetadataValue & value) {
    std::visit([context, &key](const auto & held) {
        using Held = std::decay_t<decltype(held)>;
        const char * name = key.c_str();
        if constexpr (std::is_same_v<Held, uint32_t>) {
            gguf_set_val_u32(context, name, held);
        } else if constexpr (std::is_same_v<Held, uint64_t>) {
            gguf_set_val_u64(context, name, held);
        } else if constexpr (std::is_same_v<Held, float>) {
            gguf_set_val_f32(context, name, held);
        } else if constexpr (std::is_same_v<Held, bool>) {
            gguf_set_val_bool(context, name, held);
        } else if constexpr (std::is_same_v<Held, std::string>) {
            gguf_set_val_str(context, name, held.c_str());
        } else if constexpr (std::is_same_v<Held, std::vector<int32_t>>) {
            gguf_set_arr_data(context, name, GGUF_TYPE_INT32, held.data(), held.size());
        } else if constexpr (std::is_same_v<Held, std::vector<std::string>>) {
            std::vector<const char *> texts;
            texts.reserve(held.size());
            for (const std::string & text : held) {
                texts.push_back(text.c_str());
            }
            gguf_set_arr_str(context, name, texts.data(), texts.size());
        } else {
            gguf_set_arr_data(context, name, GGUF_TYPE_FLOAT32, held.data(), held.size());
        }
    }, value);
}

gguf_context_ptr make_metadata(const Metadata & metadata) {
    gguf_context_ptr gguf(gguf_init_empty());
    if (!gguf) {
        throw std::bad_alloc();
    }
    for (const auto & [key, value] : metadata) {
        set_metadata(gguf.get(), key, value);
    }
    return gguf;
}

} // namespace

ggml_type tensor_type_from_name(const std::string & name) {
    for (int type = 0; type < GGML_TYPE_COUNT; ++type) {
        const char * known = ggml_type_name(ggml_type(type));
        if (known != nullptr && ggml_blck_size(ggml_type(type)) > 0 && equals_ignoring_case(name, known)) {
            return ggml_type(type);
        }
    }
    throw std::invalid_argument("unknown tensor type '" + name + "'");
}

size_t tensor_size_bytes(ggml_type type, const std::vector<int64_t> & shape) {
    check_tensor({ "of this shape", shape, type });
    if (shape[0] % ggml_blck_size(type) != 0) {
        throw std::invalid_argument("rows of " + std::to_string(shape[0]) + " do not divide into blocks of " +
                                    ggml_type_name(type));
    }
    size_t size_bytes = ggml_row_size(type, shape[0]);
    for (size_t i = 1; i < shape.size(); ++i) {
        size_bytes *= size_t(shape[i]);
    }
    return size_bytes;
}

void check_tensor(const TensorSpec & tensor) {
    if (tensor.name.empty() || tensor.name.size() >= GGML_MAX_NAME) {
        throw std::invalid_argument("tensor name '" + tensor.name + "' is empty or longer than " +
                                    std::to_string(GGML_MAX_NAME - 1) + " characters");
    }
    if (tensor.shape.empty() || tensor.shape.size() > GGML_MAX_DIMS) {
        throw std::invalid_argument("tensor " + tensor.name + " must have 1 to 4 dimensions");
    }
    int64_t n_elements = 1;
    for (const int64_t length : tensor.shape) {
        if (length <= 0 || n_elements > k_max_bytes / 4 / length) {
            throw std::invalid_argument("tensor " + tensor.name + " has an impossible shape");
        }
        n_elements *= length;
    }
}

ggml_context_ptr make_header_context(size_t n_tensors, size_t n_nodes) {
    ggml_init_params params = {};
    params.mem_size = (n_tensors + 1) * ggml_tensor_overhead() + ggml_graph_overhead_custom(n_nodes, false);
    params.no_alloc = true;
    ggml_context_ptr context(ggml_init(params));
    if (!context) {
        throw std::bad_alloc();
    }
    return context;
}

ggml_tensor * make_header(ggml_context * context, const TensorSpec & tensor, ggml_type type) {
    ggml_tensor * header = ggml_new_tensor(context, type, int(tensor.shape.size()), tensor.shape.data());
    ggml_set_name(header, tensor.name.c_str());
    return header;
}

FileHeader read_header(const std::string & path) {
    ggml_context *   tensors = nullptr;
    gguf_init_params params  = {};
    params.no_alloc = true;
    params.ctx      = &tensors;
    FileHeader header;
    header.metadata.reset(gguf_init_from_file(path.c_str(), params));
    header.tensors.reset(tensors);
    if (!header.metadata) {
        throw ModelFailure("cannot read the header of " + path);
    }
    for (int64_t i = 0; i < gguf_get_n_kv(header.metadata.get()); ++i) {
        if (*gguf_get_key(header.metadata.get(), i) == '\0') { // which ggml reads, and aborts when it is to be written
            throw ModelFailure("a key in the header of " + path + " has no name");
        }
    }
    return header;
}

GgufHeader::GgufHeader(const Metadata & metadata, const std::vector<TensorSpec> & specs)
    : GgufHeader(make_metadata(metadata).get(), specs) {}

GgufHeader::GgufHeader(gguf_context * gguf, const std::vector<TensorSpec> & specs) {
    // ggml lays tensors out in its default alignment, whatever this key says to those who read the file.
    gguf_remove_key(gguf, "general.alignment");
    const ggml_context_ptr headers = make_header_context(specs.size());
    for (const TensorSpec & tensor : specs) {
        check_tensor(tensor);
        if (tensor.shape[0] % ggml_blck_size(tensor.type) != 0) {
            throw std::invalid_argument("rows of tensor " + tensor.name + " do not divide into blocks of " +
                                        ggml_type_name(tensor.type));
        }
        if (gguf_find_tensor(gguf, tensor.name.c_str()) >= 0) {
            throw std::invalid_argument("tensor " + tensor.name + " stands twice in the model");
        }
        gguf_add_tensor(gguf, make_header(headers.get(), tensor, tensor.type));
    }
    bytes.resize(gguf_get_meta_size(gguf));
    gguf_get_meta_data(gguf, bytes.data());

    file_bytes = bytes.size();
    for (size_t i = 0; i < specs.size(); ++i) {
        const DataRange range = { bytes.size() + gguf_get_tensor_offset(gguf, int64_t(i)),
                                  gguf_get_tensor_size(gguf, int64_t(i)) };
        tensors.push_back(range);
        // the data section ends padded, as the loader expects
        file_bytes = GGML_PAD(range.begin_bytes + range.size_bytes, gguf_get_alignment(gguf));
    }
}

} // namespace slmprof
