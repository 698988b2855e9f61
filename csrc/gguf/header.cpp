#include "gguf/header.h"

#include "failures.h"
#include "gguf/atomic_file.h"
#include "llama_api/gguf.h"

#include <algorithm>
#include <new>
#include <numeric>
#include <stdexcept>
#include <strings.h>

namespace slmprof {
namespace {

constexpr int64_t k_max_bytes = int64_t(1) << 46; // no tensor is larger; keeps products in range

// Sets a key to each kind of value that MetadataValue can hold.
struct MetadataSetter {
    gguf_context * context;
    const char *   key;

    void operator()(uint32_t value) const { gguf_set_val_u32(context, key, value); }
    void operator()(uint64_t value) const { gguf_set_val_u64(context, key, value); }
    void operator()(float value) const { gguf_set_val_f32(context, key, value); }
    void operator()(bool value) const { gguf_set_val_bool(context, key, value); }
    void operator()(const std::string & value) const { gguf_set_val_str(context, key, value.c_str()); }
    void operator()(const std::vector<int32_t> & values) const {
        gguf_set_arr_data(context, key, GGUF_TYPE_INT32, values.data(), values.size());
    }
    void operator()(const std::vector<float> & values) const {
        gguf_set_arr_data(context, key, GGUF_TYPE_FLOAT32, values.data(), values.size());
    }
    void operator()(const std::vector<std::string> & values) const {
        std::vector<const char *> texts(values.size());
        std::transform(values.begin(), values.end(), texts.begin(), [](const std::string & text) { return text.c_str(); });
        gguf_set_arr_str(context, key, texts.data(), texts.size());
    }
};

void check_blocks(const std::string & what, int64_t row_length, ggml_type type) {
    if (row_length % ggml_blck_size(type) != 0) {
        throw std::invalid_argument("rows of " + what + " do not divide into blocks of " + ggml_type_name(type));
    }
}

bool is_possible(const std::vector<int64_t> & shape) {
    int64_t n_elements = 1;
    for (const int64_t length : shape) {
        if (length <= 0 || n_elements > k_max_bytes / 4 / length) {
            return false;
        }
        n_elements *= length;
    }
    return true;
}

// ggml's reader lets pass what ggml aborts at when it makes the tensor: one without elements, with enormous dimensions.
void check_shapes(const gguf_context * gguf, const std::string & path) {
    for (int64_t i = 0; i < gguf_get_n_tensors(gguf); ++i) {
        const int64_t *      ne    = llama_api::tensor_shape(gguf, i);
        std::vector<int64_t> shape = { int64_t(gguf_get_tensor_size(gguf, i)) };
        if (ne != nullptr) {
            shape.assign(ne, ne + GGML_MAX_DIMS);
        }
        if (!is_possible(shape)) {
            throw ModelFailure("tensor " + std::string(gguf_get_tensor_name(gguf, i)) + " of " + path + " has an impossible shape");
        }
    }
}

// ggml gives out null where there is no memory.
template <typename Pointer> Pointer checked(Pointer pointer) {
    if (!pointer) {
        throw std::bad_alloc();
    }
    return pointer;
}

gguf_context_ptr make_metadata(const Metadata & metadata) {
    gguf_context_ptr gguf = checked(gguf_context_ptr(gguf_init_empty()));
    set_metadata(gguf.get(), metadata);
    return gguf;
}

// With the tensors, too, where `tensors` is not null; ggml then aborts at shapes that cannot be.
gguf_context_ptr read_metadata(const std::string & path, ggml_context ** tensors) {
    gguf_init_params params = {};
    params.no_alloc = true;
    params.ctx      = tensors;
    gguf_context_ptr metadata(gguf_init_from_file(path.c_str(), params));
    if (!metadata) {
        throw ModelFailure("cannot read the header of " + path);
    }
    return metadata;
}

} // namespace

void set_metadata(gguf_context * gguf, const Metadata & metadata) {
    for (const auto & [key, value] : metadata) {
        std::visit(MetadataSetter{ gguf, key.c_str() }, value);
    }
}

ggml_type tensor_type_from_name(const std::string & name) {
    for (int type = 0; type < GGML_TYPE_COUNT; ++type) {
        const char * known = ggml_type_name(ggml_type(type));
        if (known != nullptr && ggml_blck_size(ggml_type(type)) > 0 && strcasecmp(name.c_str(), known) == 0) {
            return ggml_type(type);
        }
    }
    throw std::invalid_argument("unknown tensor type '" + name + "'");
}

size_t tensor_size_bytes(ggml_type type, const std::vector<int64_t> & shape) {
    check_tensor({ "of this shape", shape, type });
    check_blocks(std::to_string(shape[0]), shape[0], type);
    return std::accumulate(shape.begin() + 1, shape.end(), ggml_row_size(type, shape[0]), std::multiplies<size_t>());
}

void check_tensor(const TensorSpec & tensor) {
    if (tensor.name.empty() || tensor.name.size() >= GGML_MAX_NAME) {
        throw std::invalid_argument("tensor name '" + tensor.name + "' is empty or longer than " +
                                    std::to_string(GGML_MAX_NAME - 1) + " characters");
    }
    if (tensor.shape.empty() || tensor.shape.size() > GGML_MAX_DIMS) {
        throw std::invalid_argument("tensor " + tensor.name + " must have 1 to 4 dimensions");
    }
    if (!is_possible(tensor.shape)) {
        throw std::invalid_argument("tensor " + tensor.name + " has an impossible shape");
    }
}

ggml_context_ptr make_header_context(size_t n_tensors, size_t n_nodes) {
    ggml_init_params params = {};
    params.mem_size = (n_tensors + 1) * ggml_tensor_overhead() + ggml_graph_overhead_custom(n_nodes, false);
    params.no_alloc = true;
    return checked(ggml_context_ptr(ggml_init(params)));
}

ggml_tensor * make_header(ggml_context * context, const TensorSpec & tensor, ggml_type type) {
    ggml_tensor * header = ggml_new_tensor(context, type, int(tensor.shape.size()), tensor.shape.data());
    ggml_set_name(header, tensor.name.c_str());
    return header;
}

FileHeader read_header(const std::string & path) {
    check_shapes(read_metadata(path, nullptr).get(), path);
    FileHeader     header;
    ggml_context * tensors = nullptr;
    header.metadata        = read_metadata(path, &tensors);
    header.tensors.reset(tensors);
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
        check_blocks("tensor " + tensor.name, tensor.shape[0], tensor.type);
        if (gguf_find_tensor(gguf, tensor.name.c_str()) >= 0) {
            throw std::invalid_argument("tensor " + tensor.name + " stands twice in the model");
        }
        gguf_add_tensor(gguf, make_header(headers.get(), tensor, tensor.type));
    }
    bytes.resize(gguf_get_meta_size(gguf));
    gguf_get_meta_data(gguf, bytes.data());

    file_bytes = bytes.size();
    for (size_t i = 0; i < specs.size(); ++i) {
        const DataRange & range = tensors.emplace_back(DataRange{
            bytes.size() + gguf_get_tensor_offset(gguf, int64_t(i)), gguf_get_tensor_size(gguf, int64_t(i)) });
        // the data section ends padded, as the loader expects
        file_bytes = GGML_PAD(range.begin_bytes + range.size_bytes, gguf_get_alignment(gguf));
    }
}

void write_outline(const std::string & path, const GgufHeader & header) {
    AtomicFile file(path);
    file.resize(header.file_bytes);
    file.write_at(header.bytes.data(), header.bytes.size(), 0);
    file.commit();
}

} // namespace slmprof
