#include "bindings/dicts.h"

#include <pybind11/stl.h>

namespace py = pybind11;

namespace slmprof {

py::dict to_dict(const ModelInfo & info) {
    py::dict d;
    d["name"]           = info.name;
    d["architecture"]   = info.architecture;
    d["file_type"]      = info.file_type;
    d["n_params"]       = info.n_params;
    d["size_bytes"]     = info.size_bytes;
    d["n_layer"]        = info.n_layer;
    d["n_embd"]         = info.n_embd;
    d["n_vocab"]        = info.n_vocab;
    d["n_ctx_train"]    = info.n_ctx_train;
    d["n_expert"]       = info.n_expert;
    d["has_vocab"]      = info.has_vocab;
    d["has_encoder"]    = info.has_encoder;
    d["has_decoder"]    = info.has_decoder;
    d["is_recurrent"]   = info.is_recurrent;
    d["is_hybrid"]      = info.is_hybrid;
    d["random_weights"] = info.random_weights;
    d["tensor_types"]   = py::cast(info.tensor_types);
    return d;
}

py::dict to_dict(const ContextInfo & info) {
    py::dict d;
    d["n_ctx"]      = info.n_ctx;
    d["n_batch"]    = info.n_batch;
    d["n_ubatch"]   = info.n_ubatch;
    d["n_seq_max"]  = info.n_seq_max;
    d["n_threads"]  = info.n_threads;
    d["has_memory"] = info.has_memory;
    d["flash_attn"] = info.flash_attn;
    return d;
}

py::list to_list(const std::vector<BufferRecord> & records) {
    py::list list;
    for (const BufferRecord & record : records) {
        py::dict d;
        d["device"]      = record.device;
        d["buffer_type"] = record.buffer_type;
        d["kind"]        = record.kind;
        d["size_bytes"]  = record.size_bytes;
        list.append(d);
    }
    return list;
}

}  // namespace slmprof
