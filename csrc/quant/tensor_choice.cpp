#include "quant/tensor_choice.h"

#include "engine/llama_log.h"

#include "llama-arch.h"
#include "llama-cpp.h"
#include "llama-ext.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <numeric>
#include <regex>
#include <stdexcept>

namespace slmprof {

namespace {

constexpr uint32_t k_max_layers = 512; // LLAMA_MAX_LAYERS, above which llama.cpp aborts

struct QuantizerDeleter { void operator()(quantize_state_impl * state) const { llama_quant_free(state); } };

// The layer of "blk.N.…", or -1.
int layer_of(const std::string & name) {
    int layer = -1;
    return std::sscanf(name.c_str(), "blk.%d.", &layer) == 1 ? layer : -1;
}

std::regex compile(const std::string & pattern) {
    try {
        return std::regex(pattern);
    } catch (const std::regex_error & error) {
        throw std::invalid_argument("'" + pattern + "' is no regular expression: " + error.what());
    }
}

void check_rows(const TensorSpec & tensor, ggml_type type) {
    if (tensor.shape[0] % ggml_blck_size(type) != 0) {
        throw std::invalid_argument("rows of tensor " + tensor.name + " (" + std::to_string(tensor.shape[0]) +
                                    ") do not divide into blocks of " + ggml_type_name(type));
    }
}

void check_weight_type(ggml_type type) {
    if (!is_weight_type(type)) {
        throw std::invalid_argument(std::string("no weights can have the type ") + ggml_type_name(type));
    }
}

// Of each tensor the number of the first pattern that finds its name, or -1.
std::vector<int> match_patterns(const std::vector<TensorSpec> & tensors, const std::vector<TypePattern> & patterns) {
    std::vector<int>  first(tensors.size(), -1);
    std::vector<bool> finds(patterns.size(), false);
    for (size_t p = 0; p < patterns.size(); ++p) {
        check_weight_type(patterns[p].type);
        const std::regex expression = compile(patterns[p].pattern);
        for (size_t i = 0; i < tensors.size(); ++i) {
            if (std::regex_search(tensors[i].name, expression)) {
                finds[p] = true;
                first[i] = first[i] < 0 ? int(p) : first[i];
            }
        }
        if (!finds[p]) {
            throw std::invalid_argument("no tensor's name matches '" + patterns[p].pattern + "'");
        }
    }
    return first;
}

// Each pattern has to change something, and llama-quantize would fall back to another type and say so
// in its log only.
void check_patterns(const std::vector<TensorSpec> & tensors, const std::vector<TypePattern> & patterns,
                    const std::vector<int> & pattern_of, const std::vector<TensorChoice> & choices, bool is_strict) {
    std::vector<bool> works(patterns.size(), false);
    for (size_t i = 0; i < tensors.size(); ++i) {
        if (pattern_of[i] >= 0 && choices[i].is_quantizable) {
            works[pattern_of[i]] = true;
            if (is_strict) {
                check_rows(tensors[i], patterns[pattern_of[i]].type);
            }
        }
    }
    for (size_t p = 0; p < patterns.size(); ++p) {
        const bool is_first = std::find(pattern_of.begin(), pattern_of.end(), int(p)) != pattern_of.end();
        if (is_first && !works[p]) {
            throw std::invalid_argument("'" + patterns[p].pattern + "' matches only tensors that are never quantized");
        }
    }
}

// llama-quantize takes these two types as they are, and aborts where a row does not divide.
void check_named_types(const std::vector<TensorSpec> & tensors, const Recipe & recipe) {
    for (const auto & [name, type] : { std::pair{ "output.weight", recipe.output_type },
                                       std::pair{ "token_embd.weight", recipe.embedding_type },
                                       std::pair{ "per_layer_token_embd.weight", recipe.embedding_type } }) {
        if (!type) {
            continue;
        }
        check_weight_type(*type);
        for (const TensorSpec & tensor : tensors) {
            if (tensor.name == name) {
                check_rows(tensor, *type);
            }
        }
    }
}

// The shortest row that every block divides; a fork may have blocks of any size.
int64_t common_row() {
    int64_t row = 1;
    for (const WeightType & type : weight_types()) {
        row = std::lcm(row, type.block_size);
    }
    return row;
}

TensorSpec padded(TensorSpec tensor) {
    static const int64_t k_row = common_row();
    tensor.shape[0] = (tensor.shape[0] + k_row - 1) / k_row * k_row;
    return tensor;
}

} // namespace

bool is_weight_type(ggml_type type) {
    return ggml_is_quantized(type) ? type != GGML_TYPE_Q8_1 && type != GGML_TYPE_Q8_K
                                   : type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16;
}

std::vector<WeightType> weight_types() {
    std::vector<WeightType> found;
    for (int number = 0; number < GGML_TYPE_COUNT; ++number) {
        const auto type = ggml_type(number);
        if (ggml_blck_size(type) > 0 && is_weight_type(type)) {
            found.push_back({ ggml_type_name(type), int64_t(ggml_blck_size(type)), int64_t(ggml_type_size(type)),
                              ggml_is_quantized(type) });
        }
    }
    return found;
}

std::vector<size_t> loader_order(const std::vector<TensorSpec> & tensors) {
    std::vector<size_t> order(tensors.size());
    std::vector<int>    layers(tensors.size());
    for (size_t i = 0; i < order.size(); ++i) {
        order[i]  = i;
        layers[i] = layer_of(tensors[i].name);
    }
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        return layers[a] != layers[b] ? layers[a] < layers[b] : tensors[a].name < tensors[b].name;
    });
    return order;
}

std::vector<TensorChoice> choose_tensor_types(const llama_model & model, const Recipe & recipe,
                                              const std::vector<TensorSpec> & tensors) {
    const auto number = llama_ftype(file_type_number(recipe.file_type, recipe.has_imatrix));
    if (!recipe.patterns.empty() && !ggml_is_quantized(llama_ftype_get_default_type(number))) {
        throw std::invalid_argument("tensor types by pattern need a quantized file type, and " + recipe.file_type +
                                    " is none");
    }
    check_named_types(tensors, recipe);
    const std::vector<int> pattern_of = match_patterns(tensors, recipe.patterns);

    // The quantizer warns about every tensor whose rows do not fit its first choice, which is normal
    // for small models and is shown in the result anyway.
    const QuietLog quiet;

    const QuantizeParams params(recipe);
    const std::unique_ptr<quantize_state_impl, QuantizerDeleter> quantizer(llama_quant_init(&model, &params.params));

    // The quantizer walks the tensors in the order of llama.cpp's loader and counts as it goes, so
    // the order decides which layers get more bits.
    const std::vector<size_t>  order   = loader_order(tensors);
    const ggml_context_ptr     context = make_header_context(2 * tensors.size());
    std::vector<ggml_tensor *> headers, longer;
    std::vector<TensorChoice>  choices(tensors.size());
    for (const size_t i : order) {
        headers.push_back(make_header(context.get(), tensors[i], tensors[i].type));
        longer.push_back(make_header(context.get(), padded(tensors[i]), tensors[i].type));
        choices[i].is_quantizable = llama_quant_tensor_allows_quantization(quantizer.get(), headers.back());
    }
    check_patterns(tensors, recipe.patterns, pattern_of, choices, recipe.is_strict);

    const auto choose = [&](std::vector<ggml_tensor *> & of, ggml_type TensorChoice::*into) {
        std::vector<ggml_type> chosen(tensors.size(), GGML_TYPE_F32);
        llama_quant_compute_types(quantizer.get(), number, of.data(), chosen.data(), chosen.size());
        for (size_t i = 0; i < order.size(); ++i) {
            choices[order[i]].*into = chosen[i];
        }
    };
    choose(headers, &TensorChoice::type);
    choose(longer, &TensorChoice::asked);
    return choices;
}

std::vector<TensorChoice> choose_tensor_types(const QuantizerHints & hints, const Recipe & recipe,
                                              const std::vector<TensorSpec> & tensors) {
    // llama.cpp aborts, or dereferences nothing, on what is refused here.
    (void) file_type_number(recipe.file_type, recipe.has_imatrix);
    if (llm_arch_from_string(hints.architecture) == LLM_ARCH_UNKNOWN) {
        throw std::invalid_argument("llama.cpp has no architecture '" + hints.architecture + "'");
    }
    if (hints.n_layer == 0 || hints.n_layer > k_max_layers) {
        throw std::invalid_argument("the number of layers must lie between 1 and " + std::to_string(k_max_layers));
    }
    if (hints.n_embd == 0 || hints.n_head == 0) {
        throw std::invalid_argument("n_embd and n_head must be positive");
    }
    std::vector<TensorSpec> sources = tensors;
    for (TensorSpec & tensor : sources) {
        check_tensor(tensor);
        tensor.type = GGML_TYPE_F32;
    }

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
    const llama_model_ptr model(llama_quant_model_from_metadata(&description));
    return choose_tensor_types(*model, recipe, sources);
}

} // namespace slmprof
