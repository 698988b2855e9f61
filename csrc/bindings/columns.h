// Tables as dicts of columns: NumPy arrays that own the vector they were made from, so that nothing is
// copied, and lists of texts.

#pragma once

#include "bindings/texts.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <utility>
#include <vector>

namespace slmprof {

template <typename T> pybind11::array_t<T> to_array(std::vector<T> && column) {
    auto * owned = new std::vector<T>(std::move(column));
    const pybind11::capsule owner(owned, [](void * pointer) { delete static_cast<std::vector<T> *>(pointer); });
    return pybind11::array_t<T>(static_cast<pybind11::ssize_t>(owned->size()), owned->data(), owner);
}

inline pybind11::list to_array(std::vector<std::string> && column) {
    return texts(column);
}

template <typename Table, typename = typename Table::Row> pybind11::dict to_dict(Table && table) {
    pybind11::dict d;
    table.visit([&d](const std::string & name, auto & column) { d[pybind11::str(name)] = to_array(std::move(column)); });
    return d;
}

}  // namespace slmprof
