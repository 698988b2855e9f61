// One function for each noun that Python sees; nothing outside this folder knows pybind11.

#pragma once

#include <pybind11/pybind11.h>

void register_build(pybind11::module_ & module);
void register_ceilings(pybind11::module_ & module);
void register_device_ceilings(pybind11::module_ & module);
void register_engine(pybind11::module_ & module);
void register_failures(pybind11::module_ & module);
void register_kernels(pybind11::module_ & module);
void register_memory(pybind11::module_ & module);
void register_outline(pybind11::module_ & module);
void register_quality(pybind11::module_ & module);
void register_quant(pybind11::module_ & module);
void register_residency(pybind11::module_ & module);
void register_synth(pybind11::module_ & module);
