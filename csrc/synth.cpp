#include "synth.h"

#include "atomic_file.h"

#include "gguf.h"
#include "llama-arch.h"
#include "llama-ext.h"
#include "llama.h"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <type_traits>

namespace slmprof {

namespace {

constexpr uint32_t k_max_layers  = 512;                     // LLAMA_MAX_LAYERS, above which llama.cpp aborts
constexpr int64_t  k_max_bytes   = int64_t(1) << 46;        // no tensor is larger; keeps products in range
constexpr size_t   k_chunk_bytes = size_t(4) << 20;         // written at a time, and what a thread takes at a time

struct GgmlContextDeleter  { void operator()(ggml_context * context) const { ggml_free(context); } };
struct GgufContextDeleter  { void operator()(gguf_context * context) const { gguf_free(context); } };
struct ModelDeleter        { void operator()(llama_model * model) const { llama_model_free(model); } };
struct QuantizerDeleter    { void operator()(quantize_state_impl * state) const { llama_quant_free(state); } };

using GgmlContext = std::unique_ptr<ggml_context, GgmlContextDeleter>;
using GgufContext = std::unique_ptr<gguf_context, GgufContextDeleter>;

// Silences llama.cpp's log for a scope: the quantizer warns about every tensor whose rows do not
// fit its first choice, which is normal for small models and is shown in the result anyway.
class QuietLog {
  public:
    QuietLog() {
        llama_log_get(&callback_, &user_data_);
        llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    }
    ~QuietLog() { llama_log_set(callback_, user_data_); }
    QuietLog(const QuietLog &) = delete;
    QuietLog & operator=(const QuietLog &) = delete;

  private:
    ggml_log_callback callback_  = nullptr;
    void *            user_data_ = nullptr;
};

uint64_t hash_name(const std::string & name) {
    uint64_t hash = 0xcbf29ce484222325ull; // FNV-1a
    for (const char c : name) {
        hash = (hash ^ uint8_t(c)) * 0x100000001b3ull;
    }
    return hash;
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

// A context that holds headers of all tensors, without data.
GgmlContext make_header_context(size_t n_tensors) {
    ggml_init_params params = {};
    params.mem_size = (n_tensors + 1) * ggml_tensor_overhead();
    params.no_alloc = true;
    GgmlContext context(ggml_init(params));
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

// The layer of "blk.N.…", or -1. llama.cpp's loader sorts by it, then by name, and the quantizer
// counts layers in that order.
long layer_of(const std::string & name) {
    if (name.compare(0, 4, "blk.") != 0 || name.size() < 5 || !std::isdigit(static_cast<unsigned char>(name[4]))) {
        return -1;
    }
    return std::strtol(name.c_str() + 4, nullptr, 10);
}

std::string to_upper(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return char(std::toupper(c)); });
    return text;
}

} // namespace

//
// types
//

const std::vector<std::pair<std::string, int>> & synth_file_types() {
    static const std::vector<std::pair<std::string, int>> k_file_types = {
        { "F32", LLAMA_FTYPE_ALL_F32 },               { "F16", LLAMA_FTYPE_MOSTLY_F16 },
        { "BF16", LLAMA_FTYPE_MOSTLY_BF16 },          { "Q8_0", LLAMA_FTYPE_MOSTLY_Q8_0 },
        { "Q6_K", LLAMA_FTYPE_MOSTLY_Q6_K },          { "Q5_K_M", LLAMA_FTYPE_MOSTLY_Q5_K_M },
        { "Q5_K_S", LLAMA_FTYPE_MOSTLY_Q5_K_S },      { "Q5_1", LLAMA_FTYPE_MOSTLY_Q5_1 },
        { "Q5_0", LLAMA_FTYPE_MOSTLY_Q5_0 },          { "Q4_K_M", LLAMA_FTYPE_MOSTLY_Q4_K_M },
        { "Q4_K_S", LLAMA_FTYPE_MOSTLY_Q4_K_S },      { "Q4_1", LLAMA_FTYPE_MOSTLY_Q4_1 },
        { "Q4_0", LLAMA_FTYPE_MOSTLY_Q4_0 },          { "IQ4_NL", LLAMA_FTYPE_MOSTLY_IQ4_NL },
        { "IQ4_XS", LLAMA_FTYPE_MOSTLY_IQ4_XS },      { "Q3_K_L", LLAMA_FTYPE_MOSTLY_Q3_K_L },
        { "Q3_K_M", LLAMA_FTYPE_MOSTLY_Q3_K_M },      { "Q3_K_S", LLAMA_FTYPE_MOSTLY_Q3_K_S },
        { "IQ3_M", LLAMA_FTYPE_MOSTLY_IQ3_M },        { "IQ3_S", LLAMA_FTYPE_MOSTLY_IQ3_S },
        { "IQ3_XS", LLAMA_FTYPE_MOSTLY_IQ3_XS },      { "Q2_K", LLAMA_FTYPE_MOSTLY_Q2_K },
        { "Q2_K_S", LLAMA_FTYPE_MOSTLY_Q2_K_S },      { "IQ2_M", LLAMA_FTYPE_MOSTLY_IQ2_M },
        { "IQ2_S", LLAMA_FTYPE_MOSTLY_IQ2_S },        { "IQ2_XS", LLAMA_FTYPE_MOSTLY_IQ2_XS },
        { "IQ2_XXS", LLAMA_FTYPE_MOSTLY_IQ2_XXS },    { "IQ1_M", LLAMA_FTYPE_MOSTLY_IQ1_M },
        { "IQ1_S", LLAMA_FTYPE_MOSTLY_IQ1_S },        { "TQ2_0", LLAMA_FTYPE_MOSTLY_TQ2_0 },
        { "TQ1_0", LLAMA_FTYPE_MOSTLY_TQ1_0 },        { "MXFP4_MOE", LLAMA_FTYPE_MOSTLY_MXFP4_MOE },
        { "Q2_0", LLAMA_FTYPE_MOSTLY_Q2_0 },          { "Q1_0", LLAMA_FTYPE_MOSTLY_Q1_0 },
    };
    return k_file_types;
}

int synth_file_type_number(const std::string & file_type) {
    std::string name = to_upper(file_type);
    if (name == "Q3_K" || name == "Q4_K" || name == "Q5_K") {
        name += "_M"; // llama-quantize's aliases
    }
    for (const auto & [known, number] : synth_file_types()) {
        if (known == name) {
            return number;
        }
    }
    if (name == "IQ3_XXS") {
        // llama-quantize refuses it without an importance matrix and chooses other types with one,
        // and llama.cpp offers no way to ask for the second choice without the matrix itself.
        throw std::invalid_argument("file type IQ3_XXS cannot be synthesised: its tensor types depend on "
                                    "whether an importance matrix is given; IQ3_XS or Q3_K_S is close in size");
    }
    std::string known_names;
    for (const auto & [known, number] : synth_file_types()) {
        known_names += (known_names.empty() ? "" : " ") + known;
    }
    throw std::invalid_argument("unknown file type '" + file_type + "'; known are " + known_names);
}

std::vector<ggml_type> choose_tensor_types(const QuantizerHints & hints, const std::string & file_type,
                                           const std::vector<TensorSpec> & tensors) {
    const auto number = llama_ftype(synth_file_type_number(file_type));
    // llama.cpp aborts, or dereferences nothing, on what is refused here.
    if (llm_arch_from_string(hints.architecture) == LLM_ARCH_UNKNOWN) {
        throw std::invalid_argument("llama.cpp has no architecture '" + hints.architecture + "'");
    }
    if (hints.n_layer == 0 || hints.n_layer > k_max_layers) {
        throw std::invalid_argument("the number of layers must lie between 1 and " + std::to_string(k_max_layers));
    }
    if (hints.n_embd == 0 || hints.n_head == 0) {
        throw std::invalid_argument("n_embd and n_head must be positive");
    }
    for (const TensorSpec & tensor : tensors) {
        check_tensor(tensor);
    }

    const QuietLog quiet;

    llama_quant_model_desc description = {};
    description.architecture  = hints.architecture.c_str();
    description.n_embd        = hints.n_embd;
    description.n_ff          = hints.n_ff;
    description.n_layer       = hints.n_layer;
    description.n_head        = hints.n_head;
    description.n_head_kv     = hints.n_head_kv;
    description.n_expert      = hints.n_expert;
    description.n_embd_head_k = hints.head_dim_k;
    description.n_embd_head_v = hints.head_dim_v;
    const std::unique_ptr<llama_model, ModelDeleter> model(llama_quant_model_from_metadata(&description));

    llama_model_quantize_params params = llama_model_quantize_default_params();
    params.ftype = number;
    const std::unique_ptr<quantize_state_impl, QuantizerDeleter> quantizer(llama_quant_init(model.get(), &params));

    // The quantizer walks the tensors in the order of llama.cpp's loader and counts as it goes, so
    // the order decides which layers get more bits.
    std::vector<size_t> order(tensors.size());
    for (size_t i = 0; i < order.size(); ++i) {
        order[i] = i;
    }
    std::sort(order.begin(), order.end(), [&tensors](size_t a, size_t b) {
        const long layer_a = layer_of(tensors[a].name);
        const long layer_b = layer_of(tensors[b].name);
        return layer_a != layer_b ? layer_a < layer_b : tensors[a].name < tensors[b].name;
    });

    const GgmlContext          context = make_header_context(tensors.size());
    std::vector<ggml_tensor *> quantizable;
    std::vector<size_t>        positions;
    for (const size_t i : order) {
        ggml_tensor * header = make_header(context.get(), tensors[i], GGML_TYPE_F32);
        if (llama_quant_tensor_allows_quantization(quantizer.get(), header)) {
            quantizable.push_back(header);
            positions.push_back(i);
        }
    }
    std::vector<ggml_type> chosen(quantizable.size(), GGML_TYPE_F32);
    llama_quant_compute_types(quantizer.get(), number, quantizable.data(), chosen.data(), quantizable.size());

    std::vector<ggml_type> result(tensors.size(), GGML_TYPE_F32);
    for (size_t i = 0; i < positions.size(); ++i) {
        result[positions[i]] = chosen[i];
    }
    return result;
}

ggml_type tensor_type_from_name(const std::string & name) {
    for (int type = 0; type < GGML_TYPE_COUNT; ++type) {
        const char * known = ggml_type_name(ggml_type(type));
        if (known != nullptr && name == known && ggml_blck_size(ggml_type(type)) > 0) {
            return ggml_type(type);
        }
    }
    throw std::invalid_argument("unknown tensor type '" + name + "'");
}

size_t tensor_size_bytes(ggml_type type, const std::vector<int64_t> & shape) {
    check_tensor({ "of this shape", shape, type, TensorFill::weight });
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

//
// the file
//

namespace {

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

// A piece of one tensor: what one thread fills and writes in one go.
struct Chunk {
    const RandomPool * pool;
    uint64_t           stream_seed;
    uint64_t           offset_bytes;
    size_t             size_bytes;
};

} // namespace

void write_random_gguf(const std::string & path, const Metadata & metadata, const std::vector<TensorSpec> & tensors,
                       uint64_t seed, int n_threads, const PollFunction & poll) {
    const GgufContext gguf(gguf_init_empty());
    for (const auto & [key, value] : metadata) {
        set_metadata(gguf.get(), key, value);
    }

    const GgmlContext headers = make_header_context(tensors.size());
    for (const TensorSpec & tensor : tensors) {
        check_tensor(tensor);
        if (tensor.shape[0] % ggml_blck_size(tensor.type) != 0) {
            throw std::invalid_argument("rows of tensor " + tensor.name + " do not divide into blocks of " +
                                        ggml_type_name(tensor.type));
        }
        if (gguf_find_tensor(gguf.get(), tensor.name.c_str()) >= 0) {
            throw std::invalid_argument("tensor " + tensor.name + " stands twice in the model");
        }
        gguf_add_tensor(gguf.get(), make_header(headers.get(), tensor, tensor.type));
    }

    std::vector<uint8_t> header(gguf_get_meta_size(gguf.get()));
    gguf_get_meta_data(gguf.get(), header.data());

    std::map<std::pair<ggml_type, TensorFill>, std::unique_ptr<RandomPool>> pools;
    std::vector<Chunk> chunks;
    uint64_t           end_bytes = header.size();
    for (size_t i = 0; i < tensors.size(); ++i) {
        const TensorSpec & tensor = tensors[i];
        auto & pool = pools[{ tensor.type, tensor.fill }];
        if (!pool) {
            pool = std::make_unique<RandomPool>(tensor.type, tensor.fill, seed);
            poll();
        }
        const uint64_t tensor_seed = mix_seeds(seed, hash_name(tensor.name));
        const uint64_t begin_bytes = header.size() + gguf_get_tensor_offset(gguf.get(), int64_t(i));
        const size_t   size_bytes  = gguf_get_tensor_size(gguf.get(), int64_t(i));
        const size_t   step_bytes  = std::max<size_t>(1, k_chunk_bytes / pool->unit_bytes()) * pool->unit_bytes();
        for (size_t done = 0; done < size_bytes; done += step_bytes) {
            chunks.push_back({ pool.get(), mix_seeds(tensor_seed, done / step_bytes), begin_bytes + done,
                               std::min(step_bytes, size_bytes - done) });
        }
        // the data section ends padded, as the loader expects
        end_bytes = GGML_PAD(begin_bytes + size_bytes, gguf_get_alignment(gguf.get()));
    }

    AtomicFile file(path);
    file.resize(end_bytes);
    file.write_at(header.data(), header.size(), 0);

    std::atomic<size_t> next{ 0 };
    std::atomic<bool>   stop{ false };
    std::exception_ptr  error;
    std::mutex          error_mutex;
    const auto work = [&](const PollFunction * poll_here) {
        try {
            std::vector<uint8_t> buffer;
            for (size_t i = next.fetch_add(1); i < chunks.size() && !stop; i = next.fetch_add(1)) {
                buffer.resize(std::max(buffer.size(), chunks[i].size_bytes));
                chunks[i].pool->fill(buffer.data(), chunks[i].size_bytes, chunks[i].stream_seed);
                file.write_at(buffer.data(), chunks[i].size_bytes, chunks[i].offset_bytes);
                if (poll_here != nullptr) {
                    (*poll_here)();
                }
            }
        } catch (...) {
            stop = true;
            const std::lock_guard<std::mutex> lock(error_mutex);
            if (!error) {
                error = std::current_exception();
            }
        }
    };

    if (n_threads <= 0) {
        n_threads = int(std::clamp(std::thread::hardware_concurrency(), 1u, 8u));
    }
    std::vector<std::thread> workers;
    for (int i = 1; i < n_threads; ++i) {
        try {
            workers.emplace_back(work, static_cast<const PollFunction *>(nullptr));
        } catch (const std::system_error &) {
            break; // fewer threads do the same work
        }
    }
    work(&poll);
    for (std::thread & worker : workers) {
        worker.join();
    }
    if (error) {
        std::rethrow_exception(error);
    }
    file.commit();
}

} // namespace slmprof
