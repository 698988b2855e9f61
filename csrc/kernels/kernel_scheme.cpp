#include "kernels/kernel_scheme.h"

#include "failures.h"
#include "kernels/ggml_functions.h"
#include "record/custom_types.h"

#include "ggml-cpu.h"

#include <dlfcn.h>

#include <utility>

namespace slmprof {
namespace {

constexpr uint32_t k_most_block = 1 << 16;
constexpr uint32_t k_most_group = 256;

// ggml has functions to convert to them, and here there is a way back.
bool is_of_activations(ggml_type type) {
    const bool is_readable = ggml_get_type_traits(type)->to_float != nullptr || type == GGML_TYPE_Q8_K || type == GGML_TYPE_Q8_1;
    return type == GGML_TYPE_F32 || (ggml_get_type_traits_cpu(type)->from_float != nullptr && is_readable);
}

ggml_type activations_of(const std::string & name) {
    const int type = ggml_functions()->type(name.c_str());
    if (type < 0 || !is_of_activations(static_cast<ggml_type>(type))) {
        throw SchemeFailure("activations '" + name + "': ggml converts no activations to such a type");
    }
    return static_cast<ggml_type>(type);
}

}  // namespace

KernelScheme::KernelScheme(const slmprof_scheme & functions, std::string name, std::string digest)
    : functions_(functions), name_(std::move(name)), digest_(std::move(digest)) {
    if (functions.abi != SLMPROF_SCHEME_ABI) {
        throw SchemeFailure("written for version " + std::to_string(functions.abi) + " of slmprof_scheme.h; this is version " +
                            std::to_string(SLMPROF_SCHEME_ABI));
    }
    if (functions.block_size == 0 || functions.block_size > k_most_block || functions.type_size == 0 ||
        functions.type_size > 4 * functions.block_size) {
        throw SchemeFailure("a block of " + std::to_string(functions.block_size) + " weights in " +
                            std::to_string(functions.type_size) + " bytes is impossible");
    }
    if (functions.dot == nullptr) {
        throw SchemeFailure("it has no dot");
    }
    if ((functions.pack == nullptr) != (functions.unpack == nullptr)) {
        throw SchemeFailure(functions.pack == nullptr ? "it has no pack" : "it has no unpack");
    }
    if ((functions.arrange != nullptr) != (functions.group_rows != 0) || functions.group_rows > k_most_group) {
        throw SchemeFailure("group_rows (1 to " + std::to_string(k_most_group) + ") and arrange go together");
    }
    if (functions.arrange != nullptr && (functions.gemv == nullptr || functions.gemm == nullptr)) {
        throw SchemeFailure("a layout of its own needs gemv and gemm");
    }
    activations_name_      = functions.activations != nullptr ? functions.activations : "";
    activations_           = activations_of(activations_name_);
    functions_.activations = activations_name_.c_str();
    number_ = add_custom_type({ "custom:" + name_, static_cast<int64_t>(functions.block_size), functions.type_size });
}

std::shared_ptr<const KernelScheme> KernelScheme::load(const std::string & library, const std::string & symbol,
                                                       const std::string & name, const std::string & digest) {
    const std::shared_ptr<void> handle(dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL), [](void * opened) {
        if (opened != nullptr) {
            dlclose(opened);
        }
    });
    if (!handle) {
        throw SchemeFailure(std::string("it cannot be loaded: ") + dlerror());
    }
    const auto * scheme = static_cast<const slmprof_scheme *>(dlsym(handle.get(), symbol.c_str()));
    if (scheme == nullptr) {
        throw SchemeFailure("there is no SLMPROF_SCHEME(" + symbol + ") in it");
    }
    if (auto * offered = static_cast<const slmprof_ggml **>(dlsym(handle.get(), "ggml"))) {
        *offered = ggml_functions();
    }
    if (scheme->pack == nullptr) {
        throw SchemeFailure("it has no pack");
    }
    auto made      = std::make_shared<KernelScheme>(*scheme, name, digest);
    made->library_ = handle;
    return made;
}

}  // namespace slmprof
