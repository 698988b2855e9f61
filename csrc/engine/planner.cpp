#include "engine/planner.h"

#include "engine/context.h"
#include "engine/settings.h"
#include "llama_api/parameters.h"
#include "memory/vocabulary.h"
#include "record/cpu_lanes.h"
#include "record/graph.h"

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "llama-context.h"
#include "llama-memory.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

namespace slmprof {

namespace {

// By the system's clock: the other one would first have to be compared with it.
int64_t now_ns() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

// Sizes of a graph's compute buffers, by buffer type.
using ComputeSizes = std::map<ggml_backend_buffer_type_t, uint64_t>;

// A graph that llama.cpp reserves for.
struct Reserve {
    uint32_t n_tokens, n_seqs, n_outputs;
};

std::vector<BufferRecord> to_records(const ComputeSizes & sizes) {
    std::vector<BufferRecord> records;
    for (const auto & [type, size] : sizes) {
        records.push_back({ device_of(type), ggml_backend_buft_name(type), "compute", size });
    }
    return merge_buffers(records);
}

// Plans graphs on one context.
class GraphPlanner {
  public:
    GraphPlanner(llama_context * context, const MemoryNotes & notes, const MemoryNotes & weights)
        : context_(context), notes_(notes), weights_(weights) {
        if (llama_memory_i * memory = context->get_memory()) {
            memory_ = memory->init_full();
        }
    }

    // The scheduler's graph and the places of its tensors are in the notes until the next call.
    ComputeSizes reserve(const Reserve & graph) {
        ggml_backend_sched_t scheduler = context_->get_sched();
        const int            n         = ggml_backend_sched_get_n_backends(scheduler);
        std::vector<size_t>  sizes(static_cast<size_t>(n));
        context_->graph_reserve(graph.n_tokens, graph.n_seqs, graph.n_outputs, memory_.get(), true, sizes.data());
        ComputeSizes by_type;
        for (int i = 0; i < n; i++) {
            // Backends with the same type share one buffer.
            by_type[ggml_backend_sched_get_buffer_type(scheduler, ggml_backend_sched_get_backend(scheduler, i))] =
                sizes[static_cast<size_t>(i)];
        }
        return by_type;
    }

    PlannedGraph describe(Phase phase, const Reserve & graph, const ComputeSizes & sizes, int32_t n_threads) {
        PlannedGraph planned;
        planned.phase      = phase;
        // graph_reserve makes the tokens of a graph a multiple of the sequences.
        planned.n_tokens   = (graph.n_tokens + graph.n_seqs - 1) / graph.n_seqs * graph.n_seqs;
        planned.n_outputs  = graph.n_outputs;
        planned.buffers    = to_records(sizes);
        for (ggml_cgraph * split : notes_.cpu_splits()) {
            const uint64_t work_bytes = ggml_graph_plan(split, n_threads, nullptr).work_size;
            planned.work_bytes        = std::max<uint64_t>(planned.work_bytes, work_bytes);
        }
        StringTable   strings;
        GraphRegistry registry(strings);
        GraphPlaces   places = notes_.graph_places();
        notes_.add_to(places);
        weights_.add_to(places);
        registry.copy_planned(notes_.graph(), places);
        GraphColumns graphs;
        SplitColumns splits;
        registry.take(graphs, splits, planned.tensors);
        planned.strings = strings.texts();
        return planned;
    }

  private:
    llama_context *          context_;
    const MemoryNotes &      notes_;
    const MemoryNotes &      weights_;
    llama_memory_context_ptr memory_;
};

// As llama_context::sched_reserve does it: the reserves of prefill and decode, and where prefill needs
// more for one sequence than for several, that one again.
std::vector<Reserve> reserves_of(const llama_context * context, const MemoryNotes & notes) {
    const llama_cparams & settings  = context->get_cparams();
    const uint32_t        n_seqs    = settings.n_seq_max;
    const uint32_t        n_tokens  = std::min(settings.n_ctx, settings.n_ubatch);
    const uint32_t        n_outputs = std::min(n_tokens, llama_api::outputs_max(settings));
    std::vector<Reserve>  reserves  = { { n_tokens, n_seqs, n_outputs }, { n_seqs, n_seqs, n_seqs } };
    if (n_seqs > 1 && notes.reserves_for_one()) {
        reserves.push_back({ n_tokens, 1, n_outputs });
    }
    return reserves;
}

// Of a llama.cpp that knows no limit of outputs: the graph with those that were asked for, for which it reserves no less.
Reserve limited(Reserve reserve, uint32_t n_asked) {
    if (!llama_api::HasOutputsMax<llama_cparams>::value && n_asked != 0) {
        reserve.n_outputs = std::min(reserve.n_outputs, n_asked);
    }
    return reserve;
}

// Lets each weight's buffer type prepare the tensor as it does when it is allocated: what work buffer
// a product needs depends on it.
void prepare_weights(const MemoryNotes & notes) {
    std::map<ggml_backend_buffer_type_t, ggml_backend_buffer_t> buffers;
    for (ggml_tensor * tensor : notes.tensors()) {
        ggml_backend_buffer_type_t type = ggml_backend_buffer_get_type(tensor->buffer);
        // What other devices make of a tensor is no matter to the CPU's work buffer.
        if (type == ggml_backend_cpu_buffer_type() || !is_cpu(ggml_backend_buft_get_device(type))) {
            continue;
        }
        auto & buffer = buffers[type];
        if (buffer == nullptr) {
            buffer = ggml_backend_buft_alloc_buffer(type, ggml_backend_buft_get_alignment(type));
        }
        if (buffer != nullptr) {
            ggml_backend_buffer_init_tensor(buffer, tensor);
        }
    }
    for (const auto & [type, buffer] : buffers) {
        ggml_backend_buffer_free(buffer);
    }
}

}  // namespace

Planner::Planner(const EngineSettings & settings) : notes_(MemoryNotes::planned(settings.use_mmap)) {
    const int64_t begin = now_ns();
    model_.emplace(settings, notes_);
    prepare_weights(notes_);
    duration_ns_ = now_ns() - begin;
}

uint64_t Planner::vocabulary_bytes() const {
    return static_cast<uint64_t>(model_->info().n_vocab) * k_token_bytes + notes_.text_bytes();
}

Plan Planner::plan(const EngineSettings & settings, bool with_graphs) {
    const int64_t            begin = now_ns();
    MemoryNotes              notes = MemoryNotes::planned(false);
    const MemoryNotes::Scope scope(notes);

    const llama_context_ptr context = make_context(*model_, settings);
    Plan plan;
    plan.context = describe(context.get());

    GraphPlanner graphs(context.get(), notes, notes_);
    ComputeSizes largest;
    uint64_t     work_bytes = 0;
    Phase        phase      = Phase::prefill;
    for (const Reserve & reserve : reserves_of(context.get(), notes)) {
        const ComputeSizes sizes = graphs.reserve(reserve);
        for (const auto & [type, size] : sizes) {
            largest[type] = std::max(largest[type], size);
        }
        const bool is_run = phase == Phase::prefill || plan.context.has_memory;
        if (with_graphs && is_run && plan.graphs.size() < 2) {
            const Reserve asked       = limited(reserve, settings.n_outputs_max);
            const bool    is_the_same = asked.n_outputs == reserve.n_outputs;
            plan.graphs.push_back(graphs.describe(phase, asked, is_the_same ? sizes : graphs.reserve(asked), settings.n_threads));
            work_bytes = std::max(work_bytes, plan.graphs.back().work_bytes);
        }
        phase = Phase::decode;
    }

    plan.buffers = notes_.planned_buffers();
    for (const std::vector<BufferRecord> & more : { notes.planned_buffers(), to_records(largest) }) {
        plan.buffers.insert(plan.buffers.end(), more.begin(), more.end());
    }
    ggml_backend_buffer_type_t host = ggml_backend_cpu_buffer_type();
    plan.buffers.push_back({ device_of(host), ggml_backend_buft_name(host), "work", work_bytes });
    plan.buffers     = merge_buffers(plan.buffers);
    plan.caches      = notes.places();
    plan.duration_ns = now_ns() - begin;
    return plan;
}

}  // namespace slmprof
