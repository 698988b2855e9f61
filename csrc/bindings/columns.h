// Columns as NumPy arrays that own the vector they were made from: nothing is copied.

#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <utility>
#include <vector>

namespace slmprof {

template <typename T> pybind11::array_t<T> to_array(std::vector<T> && column) {
    auto * owned = new std::vector<T>(std::move(column));
    const pybind11::capsule owner(owned, [](void * pointer) { delete static_cast<std::vector<T> *>(pointer); });
    return pybind11::array_t<T>(static_cast<pybind11::ssize_t>(owned->size()), owned->data(), owner);
}

}  // namespace slmprof
