// What the kernels of schemes may use of ggml (slmprof_scheme.h).

#pragma once

#define SLMPROF_SCHEME_HOST
#include "slmprof_scheme.h"

namespace slmprof {

const slmprof_ggml * ggml_functions();

}  // namespace slmprof
