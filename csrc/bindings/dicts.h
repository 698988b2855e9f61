// Records as the dicts that _core.pyi describes, where more than one noun has them.

#pragma once

#include "memory/buffers.h"
#include "engine/model_info.h"

#include <pybind11/pybind11.h>

#include <vector>

namespace slmprof {

pybind11::dict to_dict(const ModelInfo & info);
pybind11::dict to_dict(const ContextInfo & info);
pybind11::list to_list(const std::vector<BufferRecord> & records);

}  // namespace slmprof
