#include "memory/memory_notes.h"

#include "ggml-alloc.h"
#include "ggml-cpu.h"
#include "memory/memory_hooks.h"
#include "record/cpu_lanes.h"
#include "memory/vocabulary.h"
#include "record/custom_types.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace slmprof {
namespace {

thread_local MemoryNotes * current_notes = nullptr;

// Number of the layer that a weight (blk.3.attn_q.weight) or a cache (cache_k_l3) belongs to, or -1.
int32_t layer_of(const std::string & name, bool is_weight) {
    const std::string mark  = is_weight ? "blk." : "_l";
    const size_t      begin = is_weight ? name.find(mark) : name.rfind(mark);
    if (begin == std::string::npos) {
        return -1;
    }
    const char * digits = name.c_str() + begin + mark.size();
    char *       end    = nullptr;
    const long   layer  = std::strtol(digits, &end, 10);
    return end != digits ? static_cast<int32_t>(layer) : -1;
}

// The buffer type of what lies in a file that is mapped into memory.
ggml_backend_buffer_type_t mapped_buffer_type() {
    static const ggml_backend_buffer_type_t type = [] {
        alignas(64) static char     nothing[64];
        const ggml_backend_buffer_t buffer = ggml_backend_cpu_buffer_from_ptr(nothing, sizeof(nothing));
        const auto                  found  = ggml_backend_buffer_get_type(buffer);
        ggml_backend_buffer_free(buffer);
        return found;
    }();
    return type;
}

BufferRecord record(ggml_backend_buffer_type_t type, const char * kind, uint64_t size_bytes) {
    return { device_of(type), ggml_backend_buft_name(type), kind, size_bytes };
}

RealBuffer describe(ggml_backend_buffer_t buffer, const char * kind) {
    ggml_backend_buffer_type_t type    = ggml_backend_buffer_get_type(buffer);
    const bool is_here = ggml_backend_buft_is_host(type) || is_cpu(ggml_backend_buft_get_device(type));
    return { record(type, kind, ggml_backend_buffer_get_size(buffer)), is_here ? ggml_backend_buffer_get_base(buffer) : nullptr };
}

}  // namespace

MemoryNotes::Scope::Scope(MemoryNotes & notes) : before_(std::exchange(current_notes, &notes)) {}

MemoryNotes::Scope::~Scope() { current_notes = before_; }

MemoryNotes MemoryNotes::planned(bool maps) {
    MemoryNotes notes;
    notes.is_planning_ = true;
    notes.maps_        = maps;
    return notes;
}

void MemoryNotes::begin_weights(ggml_context * tensors, ggml_backend_buffer_type * type, bool is_lazy, bool is_mappable) {
    is_mapped_ = is_mappable && (maps_ || is_lazy);
    if (!is_planning_) {
        return;
    }
    type_ = is_mapped_ ? mapped_buffer_type() : type;
    if (is_mapped_) {
        ranges_.emplace_back();
    } else {
        planned_.push_back(record(type, "weights", ggml_backend_alloc_ctx_tensors_from_buft_size(tensors, type)));
    }
}

void MemoryNotes::add_weight(ggml_tensor * tensor, int file, int64_t offset) {
    rows_.push_back({ tensor, "weights", type_, file, offset });
    if (is_planning_ && is_mapped_ && file >= 0) {
        const auto end   = offset + static_cast<int64_t>(ggml_nbytes(tensor));
        Range &    range = ranges_.back().try_emplace(file, Range{ offset, end }).first->second;
        range            = { std::min(range.first, offset), std::max(range.last, end) };
    }
}

void MemoryNotes::add_cache(const char * kind, const void * owner, ggml_context * tensors, ggml_backend_buffer * buffer,
                            int64_t n_cells, int64_t n_streams, int64_t window) {
    auto number = std::find(caches_.begin(), caches_.end(), owner);
    if (number == caches_.end()) {
        number = caches_.insert(number, owner);
    }
    Row row{ nullptr, kind };
    row.n_cells   = n_cells;
    row.n_streams = n_streams;
    row.window    = window;
    row.cache     = static_cast<int32_t>(number - caches_.begin());
    if (is_planning_) {
        ggml_backend_buffer_type_t type = ggml_backend_buffer_get_type(buffer);
        row.type = type;
        planned_.push_back(record(type, kind, ggml_backend_alloc_ctx_tensors_from_buft_size(tensors, type)));
    }
    for (ggml_tensor * tensor = ggml_get_first_tensor(tensors); tensor != nullptr;
         tensor               = ggml_get_next_tensor(tensors, tensor)) {
        if (tensor->view_src == nullptr) {
            row.tensor = tensor;
            rows_.push_back(row);
        }
    }
}

void MemoryNotes::remove_compute(ggml_backend_buffer * buffer) {
    compute_.erase(std::remove(compute_.begin(), compute_.end(), buffer), compute_.end());
}

void MemoryNotes::add_split(ggml_backend * backend, ggml_cgraph * split, int number) {
    if (!is_planning_) {
        return;
    }
    if (number == 0) {
        cpu_splits_.clear();
    }
    if (is_cpu(ggml_backend_get_device(backend))) {
        cpu_splits_.push_back(split);
    }
}

void MemoryNotes::begin_graph(ggml_cgraph * graph) {
    graph_ = graph;
    graph_places_.clear();
    graph_buffers_.clear();
}

void MemoryNotes::add_to(GraphPlaces & places) const {
    for (const Row & row : rows_) {
        places.try_emplace(row.tensor, GraphPlace{ row.type });
    }
}

void MemoryNotes::add_place(const ggml_tensor * tensor, ggml_backend_buffer_type * type, int chunk, size_t offset) {
    // Weights and caches that are only planned have a buffer, but no data: they have places of their own.
    if (tensor->buffer == nullptr) {
        const auto next   = static_cast<int32_t>(graph_buffers_.size());
        const auto number = graph_buffers_.try_emplace({ type, chunk }, next).first->second;
        graph_places_.try_emplace(tensor, GraphPlace{ type, number, static_cast<int64_t>(offset) });
    }
}

std::vector<ggml_tensor *> MemoryNotes::tensors() const {
    std::vector<ggml_tensor *> tensors(rows_.size());
    std::transform(rows_.begin(), rows_.end(), tensors.begin(), [](const Row & row) { return row.tensor; });
    return tensors;
}

std::vector<ggml_backend_buffer *> MemoryNotes::buffers_of_rows() const {
    std::vector<ggml_backend_buffer *> buffers;
    for (const Row & row : rows_) {
        ggml_backend_buffer_t buffer = row.tensor->buffer;
        if (buffer != nullptr && std::find(buffers.begin(), buffers.end(), buffer) == buffers.end()) {
            buffers.push_back(buffer);
        }
    }
    return buffers;
}

std::vector<RealBuffer> MemoryNotes::real_buffers() const {
    std::vector<RealBuffer> described;
    for (ggml_backend_buffer_t buffer : buffers_of_rows()) {
        const auto row = std::find_if(rows_.begin(), rows_.end(), [&](const Row & r) { return r.tensor->buffer == buffer; });
        described.push_back(describe(buffer, row->kind));
    }
    for (ggml_backend_buffer_t buffer : compute_) {
        described.push_back(describe(buffer, "compute"));
    }
    if (output_ != nullptr) {
        described.push_back(describe(output_, "output"));
    }
    if (work_bytes_ > 0) {
        described.push_back({ record(ggml_backend_cpu_buffer_type(), "work", work_bytes_), work_ });
    }
    return described;
}

std::vector<BufferRecord> MemoryNotes::planned_buffers() const {
    std::vector<BufferRecord> records = planned_;
    for (const auto & parts : ranges_) {
        for (const auto & [file, range] : parts) {
            records.push_back(record(mapped_buffer_type(), "weights", static_cast<uint64_t>(range.last - range.first)));
        }
    }
    if (output_ != nullptr) {
        records.push_back(record(ggml_backend_buffer_get_type(output_), "output", ggml_backend_buffer_get_size(output_)));
    }
    return merge_buffers(records);
}

PlaceColumns MemoryNotes::places() const {
    const std::vector<ggml_backend_buffer *> buffers =
        is_planning_ ? std::vector<ggml_backend_buffer *>{} : buffers_of_rows();
    PlaceColumns columns;
    for (const Row & row : rows_) {
        const ggml_tensor *        tensor  = row.tensor;
        const auto                 found   = std::find(buffers.begin(), buffers.end(), tensor->buffer);
        const bool                 is_real = found != buffers.end();
        ggml_backend_buffer_type_t type    = is_real ? ggml_backend_buffer_get_type(*found) : row.type;
        PlaceColumns::Row          place;
        place.name        = ggml_get_name(tensor);
        const CustomType * custom = custom_type_of(tensor);
        place.type        = custom != nullptr ? custom->name : ggml_type_name(tensor->type);
        place.kind        = row.kind;
        place.device      = device_of(type);
        place.buffer_type = ggml_backend_buft_name(type);
        place.layer       = layer_of(place.name, row.cache < 0);
        std::copy_n(tensor->ne, k_n_dims, place.ne.begin());
        place.size_bytes   = static_cast<int64_t>(custom != nullptr ? custom->size_bytes(tensor) : ggml_nbytes(tensor));
        place.buffer       = is_real ? static_cast<int32_t>(found - buffers.begin()) : -1;
        place.offset_bytes = is_real ? static_cast<const char *>(tensor->data) -
                                           static_cast<const char *>(ggml_backend_buffer_get_base(*found))
                                     : -1;
        place.file              = row.file;
        place.file_offset_bytes = row.file_offset;
        place.n_cells           = row.n_cells;
        place.n_streams         = row.n_streams;
        place.n_swa             = row.window;
        place.cache             = row.cache;
        columns.append(place);
    }
    return columns;
}

}  // namespace slmprof

using slmprof::current_notes;
using slmprof::MemoryNotes;

namespace {

// Tells this thread's notes, if it has any.
template <typename... Parameters, typename... Arguments>
void tell(void (MemoryNotes::*what)(Parameters...), Arguments... arguments) {
    if (current_notes != nullptr) {
        (current_notes->*what)(arguments...);
    }
}

}  // namespace

extern "C" {

bool slmprof_is_planning(void) {
    return current_notes != nullptr && current_notes->is_planning();
}

ggml_backend_buffer_t slmprof_allocate_tensors(ggml_context * tensors, ggml_backend_buffer_type_t type) {
    if (!slmprof_is_planning()) {
        return ggml_backend_alloc_ctx_tensors_from_buft(tensors, type);
    }
    ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(type, 0);
    for (ggml_tensor * tensor = ggml_get_first_tensor(tensors); tensor != nullptr;
         tensor               = ggml_get_next_tensor(tensors, tensor)) {
        tensor->buffer = buffer;
    }
    return buffer;
}

bool slmprof_plans_mapping(void) {
    return current_notes != nullptr && current_notes->plans_mapping();
}

void slmprof_note_weights(ggml_context * tensors, ggml_backend_buffer_type_t type, bool is_lazy, bool is_mappable) {
    tell(&MemoryNotes::begin_weights, tensors, type, is_lazy, is_mappable);
}

void slmprof_note_weight(ggml_tensor * tensor, int file, int64_t offset) {
    tell(&MemoryNotes::add_weight, tensor, file, offset);
}

void slmprof_note_kv_cache(const void * owner, ggml_context * tensors, ggml_backend_buffer_t buffer, uint32_t n_cells,
                           uint32_t n_streams, uint32_t window) {
    tell(&MemoryNotes::add_cache, "kv_cache", owner, tensors, buffer, n_cells, n_streams, window);
}

void slmprof_note_recurrent_state(const void * owner, ggml_context * tensors, ggml_backend_buffer_t buffer, uint32_t n_cells,
                                  uint32_t n_streams) {
    tell(&MemoryNotes::add_cache, "recurrent_state", owner, tensors, buffer, n_cells, n_streams, 0);
}

void slmprof_note_vocabulary(const gguf_context * metadata) {
    tell(&MemoryNotes::set_text_bytes, slmprof::text_bytes(metadata));
}

void slmprof_note_output_buffer(ggml_backend_buffer_t buffer) { tell(&MemoryNotes::set_output, buffer); }
void slmprof_note_work_buffer(void * data, size_t size_bytes) { tell(&MemoryNotes::set_work, data, size_bytes); }
void slmprof_note_compute_buffer(ggml_backend_buffer_t buffer) { tell(&MemoryNotes::add_compute, buffer); }
void slmprof_forget_compute_buffer(ggml_backend_buffer_t buffer) { tell(&MemoryNotes::remove_compute, buffer); }
void slmprof_note_reserve_for_one(void) { tell(&MemoryNotes::set_reserves_for_one); }
void slmprof_note_split(ggml_backend_t backend, ggml_cgraph * split, int number) {
    tell(&MemoryNotes::add_split, backend, split, number);
}
void slmprof_note_graph(ggml_cgraph * graph) { current_notes->begin_graph(graph); }

void slmprof_note_place(const ggml_tensor * tensor, ggml_backend_buffer_type_t type, int chunk, size_t offset) {
    current_notes->add_place(tensor, type, chunk, offset);
}

}  // extern "C"
