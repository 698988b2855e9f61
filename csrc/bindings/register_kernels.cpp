// Schemes with kernels of their own.

#include "bindings/registers.h"

#include "bindings/unlocked.h"
#include "engine/model.h"
#include "engine/settings.h"
#include "gguf/header.h"
#include "kernels/kernel_calls.h"
#include "kernels/kernel_scheme.h"
#include "kernels/packed_weights.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace py = pybind11;

namespace slmprof {
namespace {

using Blocks = py::array_t<uint8_t, py::array::c_style | py::array::forcecast>;
using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;

Guard guard_of(const std::string & side) {
    if (side != "behind" && side != "before") {
        throw std::invalid_argument("guard must be behind or before");
    }
    return side == "behind" ? Guard::behind : Guard::before;
}

Kernel kernel_of(const KernelScheme & scheme, const std::string & name) {
    if (name == "dot") {
        return Kernel::dot;
    }
    if (name == "gemv" && scheme.functions().gemv != nullptr) {
        return Kernel::gemv;
    }
    if (name == "gemm" && scheme.functions().gemm != nullptr) {
        return Kernel::gemm;
    }
    throw std::invalid_argument("the scheme has no " + name);
}

size_t n_blocks_of(const KernelScheme & scheme, py::ssize_t size, size_t of_block, bool is_there) {
    if (!is_there) {
        throw std::invalid_argument("the scheme has no pack and no unpack");
    }
    if (static_cast<size_t>(size) % of_block != 0) {
        throw std::invalid_argument("no whole blocks of " + scheme.name());
    }
    return static_cast<size_t>(size) / of_block;
}

py::array_t<uint8_t> pack(const KernelScheme & scheme, const Floats & weights, const std::optional<Floats> & importance,
                          const std::string & guard) {
    const auto  block    = static_cast<size_t>(scheme.block_size());
    const auto  n_blocks = n_blocks_of(scheme, weights.size(), block, scheme.functions().pack != nullptr);
    const Guard side     = guard_of(guard);
    if (importance && importance->size() != weights.size()) {
        throw std::invalid_argument("an importance for each weight");
    }
    const float * from   = weights.data();
    const float * counts = importance ? importance->data() : nullptr;
    const auto    blocks = unlocked([&] { return pack_blocks(scheme, from, n_blocks, counts, side); });
    return py::array_t<uint8_t>({ n_blocks, scheme.type_size() }, blocks.data());
}

py::array_t<float> unpack(const KernelScheme & scheme, const Blocks & blocks, const std::string & guard) {
    const auto      n_blocks = n_blocks_of(scheme, blocks.size(), scheme.type_size(), scheme.functions().unpack != nullptr);
    const Guard     side     = guard_of(guard);
    const uint8_t * from     = blocks.data();
    const auto      weights  = unlocked([&] { return unpack_blocks(scheme, from, n_blocks, side); });
    return py::array_t<float>({ n_blocks, static_cast<size_t>(scheme.block_size()) }, weights.data());
}

void check_columns(const KernelScheme & scheme, const Floats & columns) {
    if (columns.ndim() != 2 || !scheme.holds(columns.shape(1)) || !scheme.takes(columns.shape(1))) {
        throw std::invalid_argument("columns are [n, row], rows of whole blocks");
    }
}

py::array_t<float> multiply(const KernelScheme & scheme, const std::string & kernel, const Blocks & blocks, const Floats & columns,
                            const std::string & guard) {
    check_columns(scheme, columns);
    const size_t row_bytes = scheme.row_bytes(columns.shape(1));
    if (static_cast<size_t>(blocks.size()) % row_bytes != 0) {
        throw std::invalid_argument("no whole rows");
    }
    const PackedRows rows{ blocks.data(), static_cast<size_t>(blocks.size()) / row_bytes, static_cast<size_t>(columns.shape(1)) };
    const Kernel     which     = kernel_of(scheme, kernel);
    const Guard      side      = guard_of(guard);
    const auto       n_columns = static_cast<size_t>(columns.shape(0));
    const float *    from      = columns.data();
    const auto       found     = unlocked([&] { return multiply_rows(scheme, which, rows, from, n_columns, side); });
    return py::array_t<float>({ n_columns, rows.n_rows }, found.data());
}

py::array_t<float> converted(const KernelScheme & scheme, const Floats & columns) {
    check_columns(scheme, columns);
    const auto n_columns = static_cast<size_t>(columns.shape(0)), n_per_row = static_cast<size_t>(columns.shape(1));
    return py::array_t<float>({ n_columns, n_per_row }, converted_values(scheme, columns.data(), n_columns, n_per_row).data());
}

template <typename Function> Function function_at(const std::map<std::string, uintptr_t> & addresses, const char * name) {
    const auto found = addresses.find(name);
    return found != addresses.end() ? reinterpret_cast<Function>(found->second) : nullptr;
}

// Functions that another compiler left in this process (numba, ctypes), by the names of the header.
std::shared_ptr<KernelScheme> of_addresses(const std::string & name, const std::string & digest, uint32_t block_size,
                                           uint32_t type_size, const std::string & activations, uint32_t group_rows,
                                           const std::map<std::string, uintptr_t> & addresses) {
    slmprof_scheme functions = {};
    functions.abi         = SLMPROF_SCHEME_ABI;
    functions.block_size  = block_size;
    functions.type_size   = type_size;
    functions.activations = activations.c_str();
    functions.group_rows  = group_rows;
    functions.dot         = function_at<decltype(functions.dot)>(addresses, "dot");
    functions.gemv        = function_at<decltype(functions.gemv)>(addresses, "gemv");
    functions.gemm        = function_at<decltype(functions.gemm)>(addresses, "gemm");
    functions.arrange     = function_at<decltype(functions.arrange)>(addresses, "arrange");
    functions.pack        = function_at<decltype(functions.pack)>(addresses, "pack");
    functions.unpack      = function_at<decltype(functions.unpack)>(addresses, "unpack");
    return std::make_shared<KernelScheme>(functions, name, digest);
}

std::vector<std::string> packable(const EngineSettings & settings, const std::vector<std::string> & names) {
    return unlocked([&] { return packable_tensors(settings, names); });
}

}  // namespace
}  // namespace slmprof

void register_kernels(py::module_ & module) {
    using namespace slmprof;
    module.def("is_packed",
               [](const std::string & path) {
                   return unlocked([&] { return is_packed(read_header(path).metadata.get()); });
               },
               py::arg("path"), "Whether a scheme has packed weights of a GGUF file. Raises NativeModelError.");
    module.def("packable_tensors", &packable, py::arg("settings"), py::arg("tensors"),
               "Those of some weights that the scheme of the settings can hold in this model. Raises NativeModelError.");
    py::class_<KernelScheme, std::shared_ptr<KernelScheme>>(module, "KernelScheme",
                                                            "A quantization scheme that computes by itself.")
        .def(py::init(&of_addresses), py::arg("name"), py::arg("digest"), py::kw_only(), py::arg("block_size"),
             py::arg("type_size"), py::arg("activations"), py::arg("group_rows"), py::arg("addresses"),
             "Of functions that are in this process already. Raises NativeSchemeError.")
        .def_static(
            "load",
            [](const std::string & library, const std::string & symbol, const std::string & name, const std::string & digest) {
                return std::const_pointer_cast<KernelScheme>(KernelScheme::load(library, symbol, name, digest));
            },
            py::arg("library"), py::arg("symbol"), py::arg("name"), py::arg("digest"),
            "Of a shared library that holds a slmprof_scheme under a name. Runs what the library runs when it is loaded. "
            "Raises NativeSchemeError.")
        .def_property_readonly("name", &KernelScheme::name)
        .def_property_readonly("block_size", &KernelScheme::block_size)
        .def_property_readonly("type_size", &KernelScheme::type_size)
        .def_property_readonly("group_rows", [](const KernelScheme & scheme) { return scheme.functions().group_rows; })
        .def_property_readonly("activations", [](const KernelScheme & scheme) { return ggml_type_name(scheme.activations()); })
        .def_property_readonly("packs", [](const KernelScheme & scheme) { return scheme.functions().pack != nullptr; })
        .def_property_readonly("kernels",
                               [](const KernelScheme & scheme) {
                                   std::vector<std::string> names{ "dot" };
                                   if (scheme.functions().gemv != nullptr) {
                                       names.emplace_back("gemv");
                                   }
                                   if (scheme.functions().gemm != nullptr) {
                                       names.emplace_back("gemm");
                                   }
                                   return names;
                               })
        .def("takes", &KernelScheme::takes, py::arg("n_per_row"))
        .def("pack", &pack, py::arg("weights"), py::arg("importance") = py::none(), py::arg("guard") = "behind",
             "The blocks, uint8 [n, type_size], of weights. Memory around them is guarded. Raises ValueError.")
        .def("unpack", &unpack, py::arg("blocks"), py::arg("guard") = "behind",
             "The weights, float32 [n, block_size], of blocks. Raises ValueError.")
        .def("multiply", &multiply, py::arg("kernel"), py::arg("blocks"), py::arg("columns"), py::arg("guard") = "behind",
             "Products float32 [n_columns, n_rows] of packed rows and columns float32 [n, row], by dot, gemv or gemm.")
        .def("converted", &converted, py::arg("columns"), "What the kernels see of columns float32 [n, row].");
}
