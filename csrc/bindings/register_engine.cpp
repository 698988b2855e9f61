#include "record/clock.h"
#include "bindings/columns.h"
#include "bindings/dicts.h"
#include "engine/engine.h"
#include "engine/settings.h"
#include "kernels/kernel_scheme.h"
#include "engine/llama_log.h"
#include "bindings/registers.h"
#include "bindings/texts.h"
#include "bindings/unlocked.h"

#include <pybind11/stl.h>

#include <functional>
#include <memory>
#include <string>

namespace py = pybind11;

namespace slmprof {

namespace {

template <typename T> std::vector<T> to_vector(const py::array_t<T, py::array::c_style | py::array::forcecast> & array) {
    if (array.ndim() != 1) {
        throw std::invalid_argument("tokens must be a one-dimensional array");
    }
    return { array.data(), array.data() + array.size() };
}

using Tokens = py::array_t<int32_t, py::array::c_style | py::array::forcecast>;
using Bytes  = py::array_t<uint8_t, py::array::c_style>;

// Its end waits for another engine that computes, which asks for the interpreter's lock between two tokens. In a forked
// child it is left as it is, until the process ends.
struct EngineDeleter {
    void operator()(Engine * engine) const {
        if (engine->is_at_home()) {
            unlocked([engine] { delete engine; });
        }
    }
};

void write_weight(Engine & engine, const std::string & tensor, size_t begin, const Bytes & bytes) {
    const std::vector<uint8_t> copy(bytes.data(), bytes.data() + bytes.size());
    unlocked([&] { engine.write_weight(tensor, begin, copy); });
}

// The consumer gets a copy, which is its own: llama.cpp writes the next batch to the same place.
void score(Engine & engine, const Tokens & tokens, const py::function & consumer, int32_t first) {
    const std::vector<int32_t> ids = to_vector<int32_t>(tokens);
    unlocked([&] {
        const auto consume = [&](const LogitsView & logits) {
            check_signals();
            const py::gil_scoped_acquire gil;
            consumer(logits.position, py::array_t<float>({ logits.n_tokens, logits.n_vocab }, logits.values));
        };
        engine.score(ids, consume, first);
    });
}

py::dict to_dict(Recording && recording) {
    py::dict d;
    recording.visit([&d](const char * name, auto & table) { d[name] = to_dict(std::move(table)); });
    d["strings"] = texts(recording.strings);
    return d;
}

void register_settings(py::module_ & module) {
    py::class_<EngineSettings>(module, "EngineSettings", "What a model is loaded and a context made with.")
        .def(py::init<>())
        .def_property(
            "path", [](const EngineSettings & settings) { return path_text(settings.path); },
            [](EngineSettings & settings, const std::string & path) { settings.path = path; })
        .def_readwrite("n_ctx", &EngineSettings::n_ctx)
        .def_readwrite("n_batch", &EngineSettings::n_batch)
        .def_readwrite("n_ubatch", &EngineSettings::n_ubatch)
        .def_readwrite("n_threads", &EngineSettings::n_threads)
        .def_readwrite("flash_attn", &EngineSettings::flash_attn)
        .def_readwrite("type_k", &EngineSettings::type_k)
        .def_readwrite("type_v", &EngineSettings::type_v)
        .def_readwrite("n_seq_max", &EngineSettings::n_seq_max)
        .def_readwrite("n_outputs_max", &EngineSettings::n_outputs_max)
        .def_readwrite("swa_full", &EngineSettings::swa_full)
        .def_readwrite("use_mmap", &EngineSettings::use_mmap)
        .def_readwrite("use_repack", &EngineSettings::use_repack)
        .def_readwrite("devices", &EngineSettings::devices)
        .def_readwrite("n_gpu_layers", &EngineSettings::n_gpu_layers)
        .def_readwrite("split_mode", &EngineSettings::split_mode)
        .def_readwrite("tensor_split", &EngineSettings::tensor_split)
        .def_readwrite("cuda_graphs", &EngineSettings::cuda_graphs)
        .def_readwrite("cupti_folders", &EngineSettings::cupti_folders)
        .def_readwrite("tensor_overrides", &EngineSettings::tensor_overrides)
        .def_property(
            "scheme", [](const EngineSettings & settings) { return settings.scheme; },
            [](EngineSettings & settings, std::shared_ptr<KernelScheme> scheme) { settings.scheme = std::move(scheme); })
        .def_readwrite("observe_by_callback", &EngineSettings::observe_by_callback)
        .def_readwrite("can_observe", &EngineSettings::can_observe)
        .def_readwrite("exact_clock", &EngineSettings::exact_clock)
        .def_readwrite("event_capacity", &EngineSettings::event_capacity);
}

}  // namespace

}  // namespace slmprof

void register_engine(py::module_ & module) {
    using namespace slmprof;
    register_settings(module);

    using Release = py::call_guard<Unlocked>;
    const auto run = [](Phase phase) {
        return [phase](Engine & engine, const Tokens & tokens, int pass, int32_t repeat, int32_t depth, bool aggregate) {
            const std::vector<int32_t> ids = to_vector<int32_t>(tokens);
            const Steps steps{ phase, static_cast<Pass>(pass), repeat, depth, aggregate ? EventMode::aggregate : EventMode::all };
            unlocked([&] { engine.run(ids, steps, check_signals); });
        };
    };

    py::class_<Engine, std::unique_ptr<Engine, EngineDeleter>>(module, "Engine", "A model and a context of llama.cpp, and the steps measured on them.")
        .def(py::init<const EngineSettings &>(), py::arg("settings"), Release())
        .def("model_info", [](const Engine & engine) { return to_dict(engine.model().info()); })
        .def("context_info", [](const Engine & engine) { return to_dict(engine.context().info()); })
        .def("buffers", [](const Engine & engine) { return to_list(unlocked([&] { return engine.buffers(); })); })
        .def("places", [](const Engine & engine) { return to_dict(unlocked([&] { return engine.places(); })); })
        .def("observe",
             [](const Engine & engine, const std::string & point) {
                 return to_dict(unlocked([&] { return engine.observe(point); }));
             },
             py::arg("point"))
        .def("observations", [](const Engine & engine) { return to_list(engine.observations()); })
        .def_property_readonly("tracing_problem", [](const Engine & engine) { return text(engine.tracing_problem()); })
        .def("pools", [](const Engine & engine) { return to_list(engine.pools()); })
        .def_property_readonly("n_past", [](const Engine & engine) { return engine.context().n_past(); })
        .def("tokenize", 
             [](const Engine & engine, const std::string & said) {
                 return to_array(unlocked([&] { return engine.model().tokenize(said); }));
             },
             py::arg("text"))
        .def_property_readonly("longest_token_bytes", [](const Engine & engine) { return engine.model().longest_token_bytes(); })
        .def("truncate", &Engine::truncate, py::arg("n_past"), Release())
        .def("fill",
             [](Engine & engine, const Tokens & tokens) {
                 const std::vector<int32_t> ids = to_vector<int32_t>(tokens);
                 unlocked([&] { engine.fill(ids); });
             },
             py::arg("tokens"))
        .def("write_weight", &write_weight, py::arg("tensor"), py::arg("begin"), py::arg("bytes"))
        .def("score", &score, py::arg("tokens"), py::arg("consumer"), py::arg("first") = 0)
        .def("rest", [](Engine & engine) { unlocked([&] { engine.rest(); }); })
        .def("prefill", run(Phase::prefill), py::arg("tokens"), py::arg("pass_kind"), py::arg("repeat") = 0,
             py::arg("depth") = 0, py::arg("aggregate") = false)
        .def("decode", run(Phase::decode), py::arg("tokens"), py::arg("pass_kind"), py::arg("repeat") = 0,
             py::arg("depth") = 0, py::arg("aggregate") = false)
        .def("last_logits",
             [](const Engine & engine) { return to_array(unlocked([&] { return engine.last_logits(); })); })
        .def("take", [](Engine & engine) { return to_dict(unlocked([&] { return engine.take(); })); });

    module.def("monotonic_ns", [] { return tick_scale().to_ns(read_ticks()); });
    module.def("log_lines", [] { return texts(llama_log_lines()); });
    module.def("clear_log", &clear_llama_log);
    module.def("log_to_stderr", &set_llama_log_to_stderr, py::arg("enabled"));
}
