// What C++ throws as Python's errors. Their messages quote files, which need not be UTF-8.

#include "bindings/registers.h"
#include "bindings/texts.h"
#include "failures.h"

#include <exception>
#include <stdexcept>

namespace py = pybind11;

namespace {

template <typename Failure> void register_failure(py::module_ & module, const char * name) {
    static PyObject * kind = nullptr;
    kind                   = py::exception<Failure>(module, name, PyExc_RuntimeError).release().ptr();
    py::register_local_exception_translator([](std::exception_ptr thrown) {
        try {
            std::rethrow_exception(thrown);
        } catch (const Failure & failure) {
            PyErr_SetObject(kind, slmprof::text(failure.what()).ptr());
        }
    });
}

// pybind11 would answer a message that is not UTF-8 with a UnicodeDecodeError; the other ones are left to it.
void translate_foreign_text(std::exception_ptr thrown) {
    PyObject * kind = PyExc_RuntimeError;
    try {
        std::rethrow_exception(thrown);
    } catch (const py::error_already_set &) {
        throw;
    } catch (const py::builtin_exception &) {
        throw;
    } catch (const std::exception & error) {
        if (slmprof::is_utf8(error.what())) {
            throw;
        }
        if (dynamic_cast<const std::logic_error *>(&error) != nullptr) {  // invalid_argument, length_error, ...
            kind = PyExc_ValueError;
        }
        PyErr_SetObject(kind, slmprof::text(error.what()).ptr());
    }
}

}  // namespace

void register_failures(py::module_ & module) {
    // Of translators, the one that was registered last is asked first.
    py::register_local_exception_translator(&translate_foreign_text);
    register_failure<slmprof::ModelFailure>(module, "NativeModelError");
    register_failure<slmprof::EngineFailure>(module, "NativeEngineError");
    register_failure<slmprof::SchemeFailure>(module, "NativeSchemeError");
}
