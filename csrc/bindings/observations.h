// What is observed, as Python sees it.

#pragma once

#include "memory/observation.h"

#include <pybind11/pybind11.h>

namespace slmprof {

pybind11::dict to_dict(const Observation & observation);

}  // namespace slmprof
