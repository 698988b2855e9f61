// CUDA's driver, loaded when it is first asked for: the module has no need of it to be loaded.

#pragma once

#include <string>

namespace slmprof {

// The CUDA version that the driver is for, as cuDriverGetVersion tells it: 13000 for 13.0; 0 where there is no driver.
int cuda_driver_version();

// Why CUDA finds no GPU, and what to do.
std::string explain_no_gpu();

}  // namespace slmprof
