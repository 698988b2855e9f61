#include "bindings/texts.h"

namespace py = pybind11;

namespace slmprof {

namespace {

py::str owned(PyObject * made) {
    if (made == nullptr) {
        throw py::error_already_set();
    }
    return py::reinterpret_steal<py::str>(made);
}

}  // namespace

py::str text(const std::string & bytes) {
    return owned(PyUnicode_DecodeUTF8(bytes.data(), static_cast<py::ssize_t>(bytes.size()), "replace"));
}

py::list texts(const std::vector<std::string> & column) {
    py::list list(column.size());
    for (size_t i = 0; i < column.size(); ++i) {
        list[i] = text(column[i]);
    }
    return list;
}

py::str path_text(const std::string & path) {
    return owned(PyUnicode_DecodeFSDefaultAndSize(path.data(), static_cast<py::ssize_t>(path.size())));
}

bool is_utf8(const std::string & bytes) {
    const auto decoded =
        py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(bytes.data(), static_cast<py::ssize_t>(bytes.size()), "strict"));
    PyErr_Clear();
    return bool(decoded);
}

}  // namespace slmprof
