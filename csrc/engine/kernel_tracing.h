// Whether the kernels of a run's devices can be recorded, and by whom.

#pragma once

#include "record/kernel_tracer.h"

#include <memory>
#include <string>

namespace slmprof {

struct EngineSettings;

struct KernelTracing {
    std::unique_ptr<KernelTracer> tracer;   // null where nothing is to be traced, or nothing can
    std::string                   problem;  // why not, and what to do; empty where all is well
};

// `strings` must outlive what is made. Before the first graph runs.
KernelTracing trace_kernels(const EngineSettings & settings, StringTable & strings);

}  // namespace slmprof
