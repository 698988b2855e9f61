// What llama-quantize is asked for. No pybind11.

#pragma once

#include "ggml.h"
#include "llama.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace slmprof {

// Tensors whose names a regular expression finds, and the type that they get instead of the
// quantizer's choice. The first pattern that finds a name wins, as in llama-quantize.
struct TypePattern {
    std::string pattern;
    ggml_type   type = GGML_TYPE_F32;
};

struct Recipe {
    std::string              file_type;
    std::vector<TypePattern> patterns;
    std::optional<ggml_type> output_type;    // of the LM head, where it is a matrix of its own
    std::optional<ggml_type> embedding_type; // of the token embeddings
    bool                     keeps_output = false; // the LM head as it is
    bool                     is_pure      = false; // every tensor in the type that the file is named for
    bool                     has_imatrix  = false; // with which some file types choose other types
    // Refuse a pattern whose type does not hold a row, in place of falling back to another.
    bool is_strict = true;
};

// What the quantizer weighs the columns of a tensor's rows with: a weight for each, matrix by matrix where the
// tensor holds several.
struct Importance {
    std::string        tensor;
    std::vector<float> weights;
};

// The file types ("Q4_K_M", ...) that can be written without an importance matrix, each with the number
// that `general.file_type` stores, in llama-quantize's own spelling.
const std::vector<std::pair<std::string, int>> & synth_file_types();

// The number of a file type, aliases and lower case included.
// Throws std::invalid_argument for an unknown one, and for one that needs an importance matrix where
// there is none.
int file_type_number(const std::string & file_type, bool has_imatrix = false);

// Whether llama.cpp's quantizer refuses to make this tensor of this type without an importance matrix.
bool needs_imatrix(const std::string & tensor, ggml_type type, int file_type_number);

// A recipe in llama.cpp's own parameter struct. Owns what that points to, but for the texts and numbers of the
// recipe and the importances, which must outlive it.
class QuantizeParams {
  public:
    // Throws std::invalid_argument for an unknown file type.
    explicit QuantizeParams(const Recipe & recipe, const std::vector<Importance> & importances = {});
    QuantizeParams(const QuantizeParams &)             = delete;
    QuantizeParams & operator=(const QuantizeParams &) = delete;

    llama_model_quantize_params params;

  private:
    std::vector<llama_model_tensor_override> overrides_;
    std::vector<llama_model_imatrix_data>    imatrix_;
};

} // namespace slmprof
