#include "engine/tensor_choice.h"

#include "engine/llama_log.h"

#include "llama-arch.h"
#include "llama-cpp.h"
#include "llama-ext.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <exception>
#include <memory>
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

std::string to_upper(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return char(std::toupper(c)); });
    return text;
}

// Types that ggml computes with but that no file holds as weights.
bool is_weight_type(ggml_type type) {
    return ggml_is_quantized(type) ? type != GGML_TYPE_Q8_1 && type != GGML_TYPE_Q8_K
                                   : type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16;
}

std::regex compile(const std::string & pattern) {
    try {
        return std::regex(pattern);
    } catch (const std::regex_error & error) {
        throw std::invalid_argument("'" + pattern + "' is no regular expression: " + error.what());
    }
}

// llama-quantize would fall back to another type and say so in its log only.
void check_rows(const TensorSpec & tensor, ggml_type type) {
    if (tensor.shape[0] % ggml_blck_size(type) != 0) {
        throw std::invalid_argument("rows of tensor " + tensor.name + " (" + std::to_string(tensor.shape[0]) +
                                    ") do not divide into blocks of " + ggml_type_name(type));
    }
}

// Of each tensor the number of the first pattern that finds its name, or -1.
std::vector<int> match_patterns(const std::vector<TensorSpec> & tensors, const std::vector<TypePattern> & patterns) {
    std::vector<int>  first(tensors.size(), -1);
    std::vector<bool> finds(patterns.size(), false);
    for (size_t p = 0; p < patterns.size(); ++p) {
        if (!is_weight_type(patterns[p].type)) {
            throw std::invalid_argument(std::string("no weights can have the type ") + ggml_type_name(patterns[p].type));
        }
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

} // namespace

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

std::vector<ggml_type> choose_tensor_types(const llama_model & model, const std::string & file_type,
                                           const std::vector<TensorSpec> &  tensors,
                                           const std::vector<TypePattern> & patterns) {
    const auto             number     = llama_ftype(synth_file_type_number(file_type));
    const std::vector<int> pattern_of = match_patterns(tensors, patterns);
    if (!patterns.empty() && !ggml_is_quantized(llama_ftype_get_default_type(number))) {
        throw std::invalid_argument("tensor types by pattern need a quantized file type, and " + file_type +
                                    " is none");
    }
    std::vector<llama_model_tensor_override> overrides;
    for (const TypePattern & pattern : patterns) {
        overrides.push_back({ pattern.pattern.c_str(), pattern.type });
    }
    overrides.push_back({ nullptr, GGML_TYPE_COUNT });

    // The quantizer warns about every tensor whose rows do not fit its first choice, which is normal
    // for small models and is shown in the result anyway.
    const QuietLog quiet;

    llama_model_quantize_params params = llama_model_quantize_default_params();
    params.ftype        = number;
    params.tt_overrides = overrides.data();
    const std::unique_ptr<quantize_state_impl, QuantizerDeleter> quantizer(llama_quant_init(&model, &params));

    // The quantizer walks the tensors in the order of llama.cpp's loader and counts as it goes, so
    // the order decides which layers get more bits.
    const std::vector<size_t>  order   = loader_order(tensors);
    const ggml_context_ptr          context = make_header_context(tensors.size());
    std::vector<ggml_tensor *> headers;
    std::vector<bool>          works(patterns.size(), false);
    for (const size_t i : order) {
        headers.push_back(make_header(context.get(), tensors[i], tensors[i].type));
        if (pattern_of[i] >= 0 && llama_quant_tensor_allows_quantization(quantizer.get(), headers.back())) {
            check_rows(tensors[i], patterns[pattern_of[i]].type);
            works[pattern_of[i]] = true;
        }
    }
    for (size_t p = 0; p < patterns.size(); ++p) {
        const bool is_first = std::find(pattern_of.begin(), pattern_of.end(), int(p)) != pattern_of.end();
        if (is_first && !works[p]) {
            throw std::invalid_argument("'" + patterns[p].pattern + "' matches only tensors that are never quantized");
        }
    }

    std::vector<ggml_type> chosen(tensors.size(), GGML_TYPE_F32);
    llama_quant_compute_types(quantizer.get(), number, headers.data(), chosen.data(), chosen.size());
    std::vector<ggml_type> result(tensors.size(), GGML_TYPE_F32);
    for (size_t i = 0; i < order.size(); ++i) {
        result[order[i]] = chosen[i];
    }
    return result;
}

std::vector<ggml_type> choose_tensor_types(const QuantizerHints & hints, const std::string & file_type,
                                           const std::vector<TensorSpec> &  tensors,
                                           const std::vector<TypePattern> & patterns) {
    // llama.cpp aborts, or dereferences nothing, on what is refused here.
    (void) synth_file_type_number(file_type);
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
    return choose_tensor_types(*model, file_type, sources, patterns);
}

} // namespace slmprof
