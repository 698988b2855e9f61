// One weight that a scheme has packed, and what ggml's CPU backend asks of it.

#pragma once

#include "kernels/kernel_scheme.h"

#include "traits.h"  // of ggml's CPU backend

#include <cstddef>
#include <cstdint>
#include <memory>

namespace slmprof {

class PackedTensor : public ggml::cpu::tensor_traits {
  public:
    explicit PackedTensor(std::shared_ptr<const KernelScheme> scheme) : scheme_(std::move(scheme)) {}

    const KernelScheme & scheme() const { return *scheme_; }

    // Says that rows are looked up in it, so that they stay as they are in the file; false where it is too late.
    bool look_up();

    // The first rows, which are arranged in groups, of each matrix; the others are not.
    int64_t n_arranged(int64_t n_rows) const;

    // Takes the blocks of a file over.
    void store(const ggml_tensor * tensor, const void * blocks);

    bool can_compute(const ggml_tensor * op) const;

    bool work_size(int n_threads, const ggml_tensor * op, size_t & size) override;
    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override;

  private:
    std::shared_ptr<const KernelScheme> scheme_;
    bool                                is_looked_up_ = false, is_stored_ = false;
};

}  // namespace slmprof
