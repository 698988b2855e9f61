// A quantization scheme that computes by itself: its sizes, and the functions that a user's file gives (slmprof_scheme.h).

#pragma once

#define SLMPROF_SCHEME_HOST
#include "slmprof_scheme.h"

#include "ggml.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace slmprof {

class KernelScheme {
  public:
    // Of a shared library that was compiled from a scheme's file: the symbol tells the rest. Throws SchemeFailure.
    static std::shared_ptr<const KernelScheme> load(const std::string & library, const std::string & symbol,
                                                    const std::string & name, const std::string & digest);

    // Of functions that are there already, and stay. `pack` and `unpack` may be missing. Throws SchemeFailure.
    KernelScheme(const slmprof_scheme & functions, std::string name, std::string digest);

    const std::string &    name() const { return name_; }
    const std::string &    digest() const { return digest_; }  // of the file
    const slmprof_scheme & functions() const { return functions_; }
    int64_t                block_size() const { return functions_.block_size; }
    size_t                 type_size() const { return functions_.type_size; }
    ggml_type              activations() const { return activations_; }
    uint32_t               number() const { return number_; }  // of its custom type
    bool                   is_arranged() const { return functions_.arrange != nullptr; }

    bool   holds(int64_t n_per_row) const { return n_per_row > 0 && n_per_row % block_size() == 0; }
    size_t row_bytes(int64_t n_per_row) const { return static_cast<size_t>(n_per_row / block_size()) * type_size(); }

    // Whether a column of so many activations can be converted.
    bool   takes(int64_t n_per_row) const { return n_per_row % ggml_blck_size(activations_) == 0; }
    size_t column_bytes(int64_t n_per_row) const { return ggml_row_size(activations_, n_per_row); }

  private:
    slmprof_scheme        functions_;
    std::string           name_, digest_, activations_name_;
    ggml_type             activations_ = GGML_TYPE_F32;
    uint32_t              number_      = 0;
    std::shared_ptr<void> library_;
};

}  // namespace slmprof
