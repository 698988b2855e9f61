// Texts for Python. Files and devices may call things by bytes that are not UTF-8; llama.cpp loads such a model,
// and so it must not fail here.

#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <vector>

namespace slmprof {

// With U+FFFD in place of what is not UTF-8.
pybind11::str text(const std::string & bytes);

pybind11::list texts(const std::vector<std::string> & column);

// A path as os.fsdecode() has it: os.fsencode() gives the same bytes again. Python hands paths over as bytes.
pybind11::str path_text(const std::string & path);

// Whether `text` would have to replace anything.
bool is_utf8(const std::string & bytes);

}  // namespace slmprof
