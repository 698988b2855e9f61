#include "memory.h"

#include "engine.h"
#include "ggml-backend.h"
#include "llama-ext.h"
#include "llama.h"
#include "llama_params.h"

#include <memory>

namespace slmprof {

namespace {

std::string device_of(ggml_backend_buffer_type_t type) {
    ggml_backend_dev_t device = ggml_backend_buft_get_device(type);
    return device != nullptr ? ggml_backend_dev_name(device) : "CPU";
}

std::vector<BufferRecord> buffers_of(const llama_context * context) {
    std::vector<BufferRecord> records;
    for (const auto & [type, sizes] : llama_get_memory_breakdown(context)) {
        const auto add = [&, type = type](const char * kind, size_t size) {
            if (size > 0) {
                records.push_back({ device_of(type), ggml_backend_buft_name(type), kind, size });
            }
        };
        add("weights", sizes.model);
        add("context", sizes.context);
        add("compute", sizes.compute);
    }
    return records;
}

}  // namespace

std::vector<BufferRecord> allocated_buffers(const llama_context * context) {
    std::vector<BufferRecord> records = buffers_of(context);
    const auto [buffer_type, size_bytes] = output_buffer_of(context);
    if (size_bytes > 0) {
        records.push_back({ "CPU", buffer_type, "output", size_bytes });
    }
    return records;
}

std::vector<BufferRecord> planned_buffers(const EngineSettings & settings) {
    initialize_backends();
    ModelParams model_params(settings);
    model_params.params.no_alloc  = true;
    model_params.params.load_mode = LLAMA_LOAD_MODE_NONE;  // the planner aborts with any other
    const std::unique_ptr<llama_model, decltype(&llama_model_free)> model(
        llama_model_load_from_file(settings.path.c_str(), model_params.params), llama_model_free);
    if (!model) {
        throw ModelFailure("llama.cpp cannot load " + settings.path);
    }
    const std::unique_ptr<llama_context, decltype(&llama_free)> context(
        llama_init_from_model(model.get(), context_params(settings)), llama_free);
    if (!context) {
        throw EngineFailure("llama.cpp cannot make this context");
    }
    return buffers_of(context.get());
}

}  // namespace slmprof
