#include "bindings/columns.h"
#include "bindings/dicts.h"
#include "engine/planner.h"
#include "engine/settings.h"
#include "bindings/registers.h"
#include "bindings/texts.h"
#include "bindings/unlocked.h"

#include <pybind11/stl.h>

#include <utility>

namespace py = pybind11;
using namespace py::literals;

namespace slmprof {

namespace {

py::dict to_dict(Plan && plan) {
    py::list graphs;
    for (PlannedGraph & graph : plan.graphs) {
        graphs.append(py::dict("phase"_a = graph.phase == Phase::prefill ? "prefill" : "decode", "n_tokens"_a = graph.n_tokens,
                               "n_outputs"_a = graph.n_outputs, "buffers"_a = to_list(graph.buffers),
                               "work_bytes"_a = graph.work_bytes, "tensors"_a = to_dict(std::move(graph.tensors)),
                               "strings"_a = texts(graph.strings)));
    }
    return py::dict("context"_a = to_dict(plan.context), "buffers"_a = to_list(plan.buffers),
                    "caches"_a = to_dict(std::move(plan.caches)), "graphs"_a = graphs, "duration_ns"_a = plan.duration_ns);
}

}  // namespace

}  // namespace slmprof

void register_memory(py::module_ & module) {
    using namespace slmprof;
    py::class_<Planner>(module, "Planner", "A model without its weights, and what contexts of it would take.")
        .def(py::init<const EngineSettings &>(), py::arg("settings"), py::call_guard<Unlocked>())
        .def("model_info", [](const Planner & planner) { return to_dict(planner.model().info()); })
        .def("weights", [](const Planner & planner) { return to_dict(planner.weights()); })
        .def_property_readonly("vocabulary_bytes", &Planner::vocabulary_bytes)
        .def_property_readonly("duration_ns", &Planner::duration_ns)
        .def("plan",
             [](Planner & planner, const EngineSettings & settings, bool graphs) {
                 return to_dict(unlocked([&] { return planner.plan(settings, graphs); }));
             },
             py::arg("settings"), py::arg("graphs") = true);
}
