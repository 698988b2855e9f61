#include "quant/recipe.h"

#include "llama-ext.h"

#include <algorithm>
#include <cctype>
#include <stdexcept>

namespace slmprof {

namespace {

std::string to_upper(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return char(std::toupper(c)); });
    return text;
}

} // namespace

namespace {

using FileTypes = std::vector<std::pair<std::string, int>>;

// Those of newer llama.cpp (Q1_0, Q2_0) and of a fork, under the names of their own tensor types.
FileTypes with_others(FileTypes known) {
    for (int number = 0; number < LLAMA_FTYPE_GUESSED; ++number) {
        const ggml_type type  = llama_ftype_get_default_type(llama_ftype(number));
        const auto      is_it = [number](const auto & one) { return one.second == number; };
        if (type == GGML_TYPE_COUNT || !ggml_is_quantized(type) || number == LLAMA_FTYPE_MOSTLY_IQ3_XXS ||
            std::any_of(known.begin(), known.end(), is_it)) {
            continue;
        }
        const std::string name  = to_upper(ggml_type_name(type));
        const auto        is_so = [&name](const auto & one) { return one.first == name; };
        if (std::none_of(known.begin(), known.end(), is_so)) {
            known.emplace_back(name, number);
        }
    }
    return known;
}

} // namespace

const std::vector<std::pair<std::string, int>> & synth_file_types() {
    static const FileTypes k_file_types = with_others({
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
    });
    return k_file_types;
}

int file_type_number(const std::string & file_type, bool has_imatrix) {
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
        if (has_imatrix) {
            return LLAMA_FTYPE_MOSTLY_IQ3_XXS;
        }
        // llama-quantize refuses it without an importance matrix and chooses other types with one.
        throw std::invalid_argument("file type IQ3_XXS cannot be synthesised: its tensor types depend on "
                                    "whether an importance matrix is given; IQ3_XS or Q3_K_S is close in size");
    }
    std::string known_names;
    for (const auto & [known, number] : synth_file_types()) {
        known_names += (known_names.empty() ? "" : " ") + known;
    }
    throw std::invalid_argument("unknown file type '" + file_type + "'; known are " + known_names);
}

bool needs_imatrix(const std::string & tensor, ggml_type type, int file_type_number) {
    if (tensor == "token_embd.weight" || tensor == "per_layer_token_embd.weight" || tensor == "output.weight") {
        return false;
    }
    switch (type) {
        case GGML_TYPE_IQ3_XXS:
        case GGML_TYPE_IQ2_XXS:
        case GGML_TYPE_IQ2_XS:
        case GGML_TYPE_IQ2_S:
        case GGML_TYPE_IQ1_M:
        case GGML_TYPE_IQ1_S: return true;
        case GGML_TYPE_Q2_K:  return file_type_number == LLAMA_FTYPE_MOSTLY_Q2_K_S;
        default:              return false;
    }
}

QuantizeParams::QuantizeParams(const Recipe & recipe, const std::vector<Importance> & importances)
    : params(llama_model_quantize_default_params()) {
    params.ftype                  = llama_ftype(file_type_number(recipe.file_type, recipe.has_imatrix));
    params.output_tensor_type     = recipe.output_type.value_or(params.output_tensor_type);
    params.token_embedding_type   = recipe.embedding_type.value_or(params.token_embedding_type);
    params.quantize_output_tensor = !recipe.keeps_output;
    params.pure                   = recipe.is_pure;
    for (const TypePattern & pattern : recipe.patterns) {
        overrides_.push_back({ pattern.pattern.c_str(), pattern.type });
    }
    overrides_.push_back({ nullptr, GGML_TYPE_COUNT });
    params.tt_overrides = overrides_.data();
    for (const Importance & importance : importances) {
        imatrix_.push_back({ importance.tensor.c_str(), importance.weights.data(), importance.weights.size() });
    }
    imatrix_.push_back({ nullptr, nullptr, 0 });
    params.imatrix = recipe.has_imatrix ? imatrix_.data() : nullptr;
}

} // namespace slmprof
