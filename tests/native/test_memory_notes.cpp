#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "memory/memory_hooks.h"
#include "memory/memory_notes.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

using namespace slmprof;

namespace {

// Two tensors of 1 KiB each, in a context without data.
struct Tensors {
    std::unique_ptr<ggml_context, void (*)(ggml_context *)> context{ ggml_init({ 1 << 16, nullptr, true }), ggml_free };
    ggml_tensor *                                           first;
    ggml_tensor *                                           second;

    Tensors(const char * first_name, const char * second_name) :
        first(ggml_new_tensor_1d(context.get(), GGML_TYPE_F32, 256)),
        second(ggml_new_tensor_1d(context.get(), GGML_TYPE_F32, 256)) {
        ggml_set_name(first, first_name);
        ggml_set_name(second, second_name);
    }
};

struct Buffer {
    ggml_backend_buffer_t buffer;
    ~Buffer() { ggml_backend_buffer_free(buffer); }
};

const ggml_backend_buffer_type_t k_host = ggml_backend_cpu_buffer_type();

}  // namespace

TEST_SUITE_BEGIN("memory notes");

TEST_CASE("what is allocated has its place, by name, layer and file") {
    MemoryNotes notes;
    Tensors     weights("blk.3.attn_q.weight", "output.weight");
    Tensors     cache("cache_k_l7", "cache_v_l7");
    const Buffer of_weights{ ggml_backend_alloc_ctx_tensors_from_buft(weights.context.get(), k_host) };
    const Buffer of_cache{ ggml_backend_alloc_ctx_tensors_from_buft(cache.context.get(), k_host) };
    {
        const MemoryNotes::Scope scope(notes);
        CHECK_FALSE(slmprof_is_planning());
        slmprof_note_weights(weights.context.get(), k_host, false, true);
        slmprof_note_weight(weights.first, 0, 4096);
        slmprof_note_weight(weights.second, -1, -1);
        slmprof_note_kv_cache(&cache, cache.context.get(), of_cache.buffer, 256, 2, 128);
    }
    slmprof_note_weight(weights.first, 0, 0);  // of nobody

    const PlaceColumns places = notes.places();
    CHECK(places.name == std::vector<std::string>{ "blk.3.attn_q.weight", "output.weight", "cache_k_l7", "cache_v_l7" });
    CHECK(places.kind == std::vector<std::string>{ "weights", "weights", "kv_cache", "kv_cache" });
    CHECK(places.layer == std::vector<int32_t>{ 3, -1, 7, 7 });
    CHECK(places.buffer == std::vector<int32_t>{ 0, 0, 1, 1 });
    CHECK(places.offset_bytes == std::vector<int64_t>{ 0, 1024, 0, 1024 });
    CHECK(places.file == std::vector<int32_t>{ 0, -1, -1, -1 });
    CHECK(places.file_offset_bytes == std::vector<int64_t>{ 4096, -1, -1, -1 });
    CHECK(places.n_cells == std::vector<int64_t>{ 0, 0, 256, 256 });
    CHECK(places.n_streams == std::vector<int64_t>{ 0, 0, 2, 2 });
    CHECK(places.n_swa == std::vector<int64_t>{ 0, 0, 128, 128 });
    CHECK(places.cache == std::vector<int32_t>{ -1, -1, 0, 0 });
    CHECK(places.ne[0] == std::vector<int64_t>(4, 256));
}

TEST_CASE("buffers come and go, and those of a kind and type are one") {
    MemoryNotes notes;
    const Buffer first{ ggml_backend_buft_alloc_buffer(k_host, 1024) }, second{ ggml_backend_buft_alloc_buffer(k_host, 2048) };
    const Buffer output{ ggml_backend_buft_alloc_buffer(k_host, 512) };
    {
        const MemoryNotes::Scope scope(notes);
        slmprof_note_compute_buffer(first.buffer);
        slmprof_note_compute_buffer(second.buffer);
        slmprof_note_output_buffer(output.buffer);
        slmprof_note_work_buffer(&notes, 64);
    }
    CHECK(notes.real_buffers().size() == 4);
    const std::vector<BufferRecord> merged = merge_buffers(notes.real_buffers());
    REQUIRE(merged.size() == 3);
    CHECK(merged[0].kind == "compute");
    CHECK(merged[0].size_bytes == 3072);
    CHECK(merged[1].kind == "output");
    CHECK(merged[2].kind == "work");
    CHECK(merged[2].size_bytes == 64);
    CHECK(merged[2].device == "CPU");
    {
        const MemoryNotes::Scope scope(notes);
        slmprof_forget_compute_buffer(first.buffer);
    }
    CHECK(merge_buffers(notes.real_buffers())[0].size_bytes == 2048);
}

TEST_CASE("a plan takes no memory, and maps the part of a file that stays as it is") {
    for (const bool maps : { false, true }) {
        CAPTURE(maps);
        MemoryNotes notes = MemoryNotes::planned(maps);
        Tensors     weights("blk.0.ffn_up.weight", "blk.1.ffn_up.weight");
        Tensors     cache("cache_k_l0", "cache_v_l0");
        const MemoryNotes::Scope scope(notes);
        CHECK(slmprof_is_planning());
        slmprof_note_weights(weights.context.get(), k_host, false, true);
        slmprof_note_weight(weights.first, 0, 8192);
        slmprof_note_weight(weights.second, 0, 2048);
        const Buffer empty{ slmprof_allocate_tensors(cache.context.get(), k_host) };
        CHECK(ggml_backend_buffer_get_size(empty.buffer) == 0);
        CHECK(cache.first->data == nullptr);
        slmprof_note_recurrent_state(&cache, cache.context.get(), empty.buffer, 4, 1);

        const std::vector<BufferRecord> planned = notes.planned_buffers();
        REQUIRE(planned.size() == 2);
        CHECK(planned[0].kind == "weights");
        CHECK(planned[0].buffer_type == (maps ? "CPU_Mapped" : "CPU"));
        CHECK(planned[0].size_bytes == (maps ? 8192 + 1024 - 2048 : 2048));
        CHECK(planned[1].kind == "recurrent_state");
        CHECK(planned[1].size_bytes == 2048);
        CHECK(notes.places().buffer == std::vector<int32_t>(4, -1));
    }
}

TEST_CASE("a planned graph's places are those that the allocator told, then those of weights and caches") {
    MemoryNotes notes = MemoryNotes::planned(false);
    Tensors     weights("blk.0.weight", "blk.1.weight"), graph("a", "b");
    const MemoryNotes::Scope scope(notes);
    slmprof_note_weights(weights.context.get(), k_host, false, false);
    slmprof_note_weight(weights.first, 0, 0);
    slmprof_note_graph(nullptr);
    slmprof_note_place(graph.first, k_host, 0, 128);
    slmprof_note_place(graph.second, k_host, 1, 0);
    GraphPlaces places = notes.graph_places();
    notes.add_to(places);
    CHECK(places.size() == 3);
    CHECK(places.at(graph.first).offset == 128);
    CHECK(places.at(graph.first).buffer == 0);
    CHECK(places.at(graph.second).buffer == 1);
    CHECK(places.at(weights.first).offset == -1);
    slmprof_note_graph(nullptr);
    CHECK(notes.graph_places().empty());
}

TEST_SUITE_END();
