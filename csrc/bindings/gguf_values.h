// Python's values as metadata of a GGUF file, and failures of writing as Python's own errors.

#pragma once

#include "bindings/texts.h"
#include "bindings/unlocked.h"
#include "gguf/header.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <limits>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace slmprof {

using NamedValue = std::pair<std::string, pybind11::object>;
using NamedShape = std::pair<std::string, std::vector<int64_t>>;

// Python's own types decide: bool, int (uint32 where it fits, else uint64), float, str, and
// sequences of int, of float or of str. bool is tested first because it is an int to Python.
inline MetadataValue metadata_value(const pybind11::handle & value) {
    if (pybind11::isinstance<pybind11::bool_>(value)) {
        return value.cast<bool>();
    }
    if (pybind11::isinstance<pybind11::int_>(value)) {
        const auto number = value.cast<uint64_t>();
        if (number <= std::numeric_limits<uint32_t>::max()) {
            return uint32_t(number);
        }
        return number;
    }
    if (pybind11::isinstance<pybind11::float_>(value)) {
        return value.cast<float>();
    }
    if (pybind11::isinstance<pybind11::str>(value)) {
        return value.cast<std::string>();
    }
    const auto items = value.cast<pybind11::sequence>();
    if (items.size() > 0 && pybind11::isinstance<pybind11::float_>(items[0])) {
        return value.cast<std::vector<float>>();
    }
    if (items.size() > 0 && pybind11::isinstance<pybind11::str>(items[0])) {
        return value.cast<std::vector<std::string>>();
    }
    return value.cast<std::vector<int32_t>>();
}

inline Metadata metadata_values(const std::vector<NamedValue> & metadata) {
    Metadata values;
    values.reserve(metadata.size());
    for (const auto & [key, value] : metadata) {
        values.emplace_back(key, metadata_value(value));
    }
    return values;
}

// Writes a file without the interpreter's lock. A failure becomes an OSError with its number, so that Python
// picks PermissionError, IsADirectoryError and so on.
template <typename Write> void write_unlocked(const std::string & path, const Write & write) {
    try {
        unlocked(write);
    } catch (const std::system_error & error) {
        const pybind11::object arguments = pybind11::make_tuple(error.code().value(), error.code().message(), path_text(path));
        PyErr_SetObject(PyExc_OSError, arguments.ptr());
        throw pybind11::error_already_set();
    }
}

} // namespace slmprof
