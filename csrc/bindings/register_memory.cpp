#include "bindings/columns.h"
#include "bindings/dicts.h"
#include "engine/planner.h"
#include "engine/settings.h"
#include "bindings/registers.h"

#include <pybind11/stl.h>

#include <utility>

namespace py = pybind11;

namespace slmprof {

namespace {

py::dict to_dict(PlannedGraph && graph) {
    py::dict d;
    d["phase"]      = graph.phase == Phase::prefill ? "prefill" : "decode";
    d["n_tokens"]   = graph.n_tokens;
    d["n_outputs"]  = graph.n_outputs;
    d["buffers"]    = to_list(graph.buffers);
    d["work_bytes"] = graph.work_bytes;
    d["tensors"]    = to_dict(std::move(graph.tensors));
    d["strings"]    = py::cast(std::move(graph.strings));
    return d;
}

py::dict to_dict(Plan && plan) {
    py::list graphs;
    for (PlannedGraph & graph : plan.graphs) {
        graphs.append(to_dict(std::move(graph)));
    }
    py::dict d;
    d["context"]     = to_dict(plan.context);
    d["buffers"]     = to_list(plan.buffers);
    d["caches"]      = to_dict(std::move(plan.caches));
    d["graphs"]      = graphs;
    d["duration_ns"] = plan.duration_ns;
    return d;
}

}  // namespace

}  // namespace slmprof

void register_memory(py::module_ & module) {
    using namespace slmprof;
    py::class_<Planner>(module, "Planner", "A model without its weights, and what contexts of it would take.")
        .def(py::init<const EngineSettings &>(), py::arg("settings"), py::call_guard<py::gil_scoped_release>())
        .def("model_info", [](const Planner & planner) { return to_dict(planner.model().info()); })
        .def("weights", [](const Planner & planner) { return to_dict(planner.weights()); })
        .def_property_readonly("duration_ns", &Planner::duration_ns)
        .def("plan",
             [](Planner & planner, const EngineSettings & settings, bool graphs) {
                 Plan plan;
                 {
                     const py::gil_scoped_release release;
                     plan = planner.plan(settings, graphs);
                 }
                 return to_dict(std::move(plan));
             },
             py::arg("settings"), py::arg("graphs") = true);
}
