// The weights of a model that a scheme has packed: what a file says of them, and where they lie in memory.
//
// In the file such a tensor is a table of bytes (I8), a row of blocks each. While llama.cpp loads it, the tensor gets
// the shape of the model and a placeholder for a type, and lies in a buffer type of its own (CPU_CUSTOM), which
// packs nothing and multiplies inside ggml's graph.

#pragma once

#include "kernels/kernel_scheme.h"
#include "kernels/packed_tensor.h"

#include "ggml-backend.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct gguf_context;

namespace slmprof {

// Whether a file's header says that a scheme has packed some of its weights.
bool is_packed(const gguf_context * metadata);

class PackedWeights {
  public:
    // `scheme` is that of the weights that the model's file may hold; null where the user names none.
    explicit PackedWeights(std::shared_ptr<const KernelScheme> scheme);

    // On trial: as if the file's tensors of these names were packed.
    PackedWeights(std::shared_ptr<const KernelScheme> scheme, const std::vector<std::string> & names);
    ~PackedWeights();
    PackedWeights(const PackedWeights &)             = delete;
    PackedWeights & operator=(const PackedWeights &) = delete;

    // While it lives, models that this thread loads have these weights.
    class Scope {
      public:
        explicit Scope(PackedWeights & weights);
        ~Scope();
        Scope(const Scope &)             = delete;
        Scope & operator=(const Scope &) = delete;

      private:
        PackedWeights * before_;
    };

    // Those of the scope that this thread is in; null outside.
    static PackedWeights * current();

    // Binds the tensors to their scheme. Throws ModelFailure where one that is packed lies where nothing can read it.
    void bind(const std::vector<ggml_tensor *> & tensors);

    // The names whose tensors all lie where the scheme's kernels read them.
    std::vector<std::string> held(const std::vector<ggml_tensor *> & tensors) const;

    // What the hooks and the buffer type ask for.
    bool           is_any() const { return !by_name_.empty(); }
    int64_t        reshape(const gguf_context * metadata, ggml_tensor * tensor);
    PackedTensor * find(const ggml_tensor * tensor);

  private:
    void read(const gguf_context * metadata);

    std::shared_ptr<const KernelScheme>                  scheme_;
    bool                                                 is_read_ = false, is_trial_ = false;
    std::map<std::string, std::unique_ptr<PackedTensor>> by_name_;
};

}  // namespace slmprof
