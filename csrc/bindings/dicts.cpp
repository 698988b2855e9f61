#include "bindings/dicts.h"

#include "bindings/texts.h"

#include <pybind11/stl.h>

namespace py = pybind11;
using namespace py::literals;

namespace slmprof {

py::dict to_dict(const ModelInfo & info) {
    py::dict types;
    for (const auto & [name, size_bytes] : info.tensor_types) {
        types[text(name)] = size_bytes;
    }
    return py::dict(
        "name"_a = text(info.name), "architecture"_a = text(info.architecture), "file_type"_a = text(info.file_type),
        "n_params"_a = info.n_params, "size_bytes"_a = info.size_bytes, "n_layer"_a = info.n_layer,
        "n_embd"_a = info.n_embd, "n_vocab"_a = info.n_vocab, "n_ctx_train"_a = info.n_ctx_train,
        "n_expert"_a = info.n_expert, "n_head"_a = info.n_head, "n_head_kv"_a = info.n_head_kv,
        "n_ff"_a = info.n_ff, "has_vocab"_a = info.has_vocab, "has_encoder"_a = info.has_encoder,
        "has_decoder"_a = info.has_decoder, "is_recurrent"_a = info.is_recurrent, "is_hybrid"_a = info.is_hybrid,
        "random_weights"_a = info.random_weights, "bos"_a = info.bos, "scheme"_a = text(info.scheme), "tensor_types"_a = types);
}

py::dict to_dict(const ContextInfo & info) {
    return py::dict("n_ctx"_a = info.n_ctx, "n_batch"_a = info.n_batch, "n_ubatch"_a = info.n_ubatch,
                    "n_seq_max"_a = info.n_seq_max, "n_threads"_a = info.n_threads,
                    "has_memory"_a = info.has_memory, "flash_attn"_a = info.flash_attn);
}

py::dict to_dict(const BufferRecord & buffer) {
    return py::dict("device"_a = text(buffer.device), "buffer_type"_a = text(buffer.buffer_type), "kind"_a = text(buffer.kind),
                    "size_bytes"_a = buffer.size_bytes);
}

py::dict to_dict(const PoolUse & use) {
    return py::dict("device"_a = use.device, "reserved_bytes"_a = use.reserved_bytes, "most_reserved_bytes"_a = use.most_reserved_bytes,
                    "used_bytes"_a = use.used_bytes, "most_used_bytes"_a = use.most_used_bytes, "op"_a = text(use.op),
                    "tensor"_a = text(use.tensor), "workspace_bytes"_a = use.workspace_bytes);
}

py::dict to_dict(const ProcessMemory & memory) {
    return py::dict("rss_bytes"_a = memory.rss_bytes, "pss_bytes"_a = memory.pss_bytes,
                    "anonymous_bytes"_a = memory.anonymous_bytes, "file_bytes"_a = memory.file_bytes,
                    "rss_peak_bytes"_a = memory.rss_peak_bytes, "library_bytes"_a = memory.library_bytes,
                    "heap_bytes"_a = memory.heap_bytes, "minor_faults"_a = memory.minor_faults,
                    "major_faults"_a = memory.major_faults);
}

py::dict to_dict(const BufferObservation & buffer) {
    return py::dict("buffer"_a = buffer.buffer, "device"_a = text(buffer.device), "buffer_type"_a = text(buffer.buffer_type),
                    "kind"_a = text(buffer.kind), "size_bytes"_a = buffer.size_bytes,
                    "resident_bytes"_a = buffer.resident_bytes, "original_bytes"_a = buffer.original_bytes,
                    "original_resident_bytes"_a = buffer.original_resident_bytes);
}

py::dict to_dict(const Observation & observation) {
    py::dict d                   = to_dict(observation.process);
    d["point"]                   = observation.point;
    d["n_past"]                  = observation.n_past;
    d["recorder_bytes"]          = observation.recorder_bytes;
    d["recorder_resident_bytes"] = observation.recorder_resident_bytes;
    d["buffers"]                 = to_list(observation.buffers);
    return d;
}

}  // namespace slmprof
