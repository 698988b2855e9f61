// Records as the dicts that _core.pyi describes, where more than one noun has them.

#pragma once

#include "cuda/pool_watch.h"
#include "memory/buffers.h"
#include "engine/model_info.h"
#include "memory/observation.h"

#include <pybind11/pybind11.h>

#include <vector>

namespace slmprof {

pybind11::dict to_dict(const ModelInfo & info);
pybind11::dict to_dict(const ContextInfo & info);
pybind11::dict to_dict(const BufferRecord & buffer);
pybind11::dict to_dict(const BufferObservation & buffer);
pybind11::dict to_dict(const PoolUse & use);
pybind11::dict to_dict(const ProcessMemory & memory);
pybind11::dict to_dict(const Observation & observation);

template <typename Record> pybind11::list to_list(const std::vector<Record> & records) {
    pybind11::list list;
    for (const Record & record : records) {
        list.append(to_dict(record));
    }
    return list;
}

}  // namespace slmprof
