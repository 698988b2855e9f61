#include "bindings/dicts.h"

#include "bindings/columns.h"

#include <pybind11/stl.h>

#include <string>
#include <utility>

namespace py = pybind11;

namespace slmprof {

py::dict to_dict(TensorColumns && c) {
    py::dict d;
    d["graph"]        = to_array(std::move(c.graph));
    d["node"]         = to_array(std::move(c.node));
    d["op"]           = to_array(std::move(c.op));
    d["op_detail"]    = to_array(std::move(c.op_detail));
    d["name"]         = to_array(std::move(c.name));
    d["type"]         = to_array(std::move(c.type));
    d["buffer_type"]  = to_array(std::move(c.buffer_type));
    d["usage"]        = to_array(std::move(c.usage));
    d["buffer"]       = to_array(std::move(c.buffer));
    d["offset_bytes"] = to_array(std::move(c.offset_bytes));
    d["flags"]        = to_array(std::move(c.flags));
    d["view_src"]     = to_array(std::move(c.view_src));
    d["view_offset"]  = to_array(std::move(c.view_offset));
    d["size_bytes"]   = to_array(std::move(c.size_bytes));
    for (size_t i = 0; i < k_n_dims; i++) {
        d[py::str("ne" + std::to_string(i))] = to_array(std::move(c.ne[i]));
        d[py::str("nb" + std::to_string(i))] = to_array(std::move(c.nb[i]));
    }
    for (size_t i = 0; i < k_n_params; i++) {
        d[py::str("param" + std::to_string(i))] = to_array(std::move(c.param[i]));
    }
    for (size_t i = 0; i < k_n_sources; i++) {
        d[py::str("src" + std::to_string(i))] = to_array(std::move(c.src[i]));
    }
    return d;
}

py::dict to_dict(PlaceColumns && c) {
    py::dict d;
    d["name"]        = py::cast(std::move(c.name));
    d["type"]        = py::cast(std::move(c.type));
    d["kind"]        = py::cast(std::move(c.kind));
    d["device"]      = py::cast(std::move(c.device));
    d["buffer_type"] = py::cast(std::move(c.buffer_type));
    d["layer"]       = to_array(std::move(c.layer));
    for (size_t i = 0; i < k_n_dims; i++) {
        d[py::str("ne" + std::to_string(i))] = to_array(std::move(c.ne[i]));
    }
    d["size_bytes"]        = to_array(std::move(c.size_bytes));
    d["buffer"]            = to_array(std::move(c.buffer));
    d["offset_bytes"]      = to_array(std::move(c.offset_bytes));
    d["file"]              = to_array(std::move(c.file));
    d["file_offset_bytes"] = to_array(std::move(c.file_offset_bytes));
    d["n_cells"]           = to_array(std::move(c.n_cells));
    d["n_streams"]         = to_array(std::move(c.n_streams));
    d["n_swa"]             = to_array(std::move(c.n_swa));
    d["cache"]             = to_array(std::move(c.cache));
    return d;
}

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
