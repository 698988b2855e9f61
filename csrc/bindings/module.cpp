#include "bindings/registers.h"
#include "bindings/unlocked.h"

PYBIND11_MODULE(_core, module) {
    module.doc() = "llama.cpp with slmprof's hooks in it. For slmprof's own use; see _core.pyi.";
    register_failures(module);
    register_build(module);
    register_ceilings(module);
    register_device_ceilings(module);
    register_engine(module);
    register_kernels(module);
    register_memory(module);
    register_outline(module);
    register_quality(module);
    register_quant(module);
    register_residency(module);
    register_synth(module);
    slmprof::register_end();
}
