#include "engine/stepper.h"

#include "engine/context.h"
#include "engine/settings.h"
#include "record/clock.h"

#include <algorithm>
#include <mutex>
#include <stdexcept>

namespace slmprof {

namespace {

constexpr uint64_t k_default_events = 1 << 16;
constexpr uint64_t k_most_events    = 1 << 22;
// Of one graph, with room to spare.
constexpr uint64_t k_events_of_run = 1 << 13;

// Nothing is collected while time is taken. What it costs to collect is told by the passes in which replays are
// recorded whole, and those in which each kernel is.
TraceLevel level_of(Pass pass) {
    switch (pass) {
        case Pass::op:    return TraceLevel::nodes;
        case Pass::split: return TraceLevel::graphs;
        default:          return TraceLevel::none;
    }
}

uint64_t events_of(const ContextInfo & context, size_t n_tokens, Phase phase) {
    if (phase == Phase::decode) {
        return k_default_events;  // collected between the steps
    }
    const uint64_t n_batch = context.n_batch, n_ubatch = context.n_ubatch;
    const uint64_t per_batch = (n_batch + n_ubatch - 1) / n_ubatch;
    const uint64_t n_runs    = n_tokens / n_batch * per_batch + (n_tokens % n_batch + n_ubatch - 1) / n_ubatch;
    return std::clamp(n_runs * k_events_of_run, k_default_events, k_most_events);
}

}  // namespace

Stepper::Stepper(const EngineSettings & settings)
    : recorder_(settings.n_threads, settings.event_capacity == 0 ? k_default_events : settings.event_capacity,
                settings.exact_clock),
      tracing_(trace_kernels(settings, recorder_.strings())), grows_(settings.event_capacity == 0),
      observes_by_callback_(settings.observe_by_callback) {
    recorder_.set_tracer(tracing_.tracer.get());
}

Stepper::~Stepper() {
    // Another engine may be computing, and the hooks lead to whoever traces.
    const std::lock_guard<std::mutex> lock(compute_mutex());
    recorder_.set_tracer(nullptr);
    tracing_.tracer.reset();
}

std::vector<AddressRange> Stepper::memory() const {
    std::vector<AddressRange> ranges = recorder_.memory();
    if (tracing_.tracer) {
        const std::vector<AddressRange> more = tracing_.tracer->memory();
        ranges.insert(ranges.end(), more.begin(), more.end());
    }
    return ranges;
}

void Stepper::step(Context & context, const int32_t * tokens, int32_t n_tokens, const Steps & steps, int32_t index) {
    const bool    is_op   = slmprof_threads != nullptr;  // or a split pass
    const int32_t n_past  = context.n_past();

    const ProcessorUse before = ProcessorUse::now();
    const uint64_t begin = read_ticks();
    if (is_op) {
        recorder_.step_begin(steps.phase, steps.depth);
    }
    try {
        context.run(tokens, n_tokens, steps.phase == Phase::prefill);
    } catch (...) {
        if (is_op) {
            recorder_.abandon_step();
        }
        throw;
    }
    if (is_op) {
        recorder_.step_end();
    }
    const uint64_t     end   = read_ticks();
    const ProcessorUse after = ProcessorUse::now();
    if (is_op) {
        recorder_.resolve_graphs();
        recorder_.time_empty_graphs();
    }

    StepColumns::Row row;
    row.phase    = static_cast<uint8_t>(steps.phase);
    row.pass     = static_cast<uint8_t>(steps.pass);
    row.repeat   = steps.repeat;
    row.index    = index;
    row.depth    = steps.depth;
    row.n_tokens = n_tokens;
    row.n_past   = n_past;
    row.begin_ns = tick_scale().to_ns(begin);
    row.end_ns   = tick_scale().to_ns(end);
    row.cpu_ns   = after.cpu_ns - before.cpu_ns;
    row.n_preempted = static_cast<int32_t>(after.n_preempted - before.n_preempted);
    recorder_.add_step(row);
}

void Stepper::run(Context & context, const std::vector<int32_t> & tokens, const Steps & steps,
                  const std::function<void()> & check) {
    const bool is_prompt = steps.phase == Phase::prefill;
    if (is_prompt) {
        context.check_prompt(tokens);
    } else {
        context.check_decode(tokens);
    }
    const bool is_recorded = steps.pass == Pass::op || steps.pass == Pass::split;
    if (is_recorded && observes_by_callback_) {
        throw std::invalid_argument("a context observed by callback has no op passes: its graphs are cut into pieces");
    }
    const std::lock_guard<std::mutex> lock(compute_mutex());

    // Hooks off again however this ends.
    struct Hooks {
        Recorder * recorder;
        ~Hooks() {
            if (recorder != nullptr) {
                recorder->stop();
                recorder->discard();
            }
        }
    } hooks{ nullptr };
    // Nothing is collected of what runs between the passes.
    struct Tracing {
        KernelTracer * tracer;
        ~Tracing() {
            if (tracer != nullptr) {
                tracer->stop();
            }
        }
    } tracing{ tracing_.tracer.get() };
    if (tracing.tracer != nullptr) {
        tracing.tracer->trace(level_of(steps.pass));
    }
    if (is_recorded) {
        if (grows_) {
            recorder_.reserve(events_of(context.info(), tokens.size(), steps.phase));
        }
        recorder_.start(steps.pass == Pass::op);
        hooks.recorder = &recorder_;
    }

    const auto    n       = static_cast<int32_t>(tokens.size());
    const int32_t n_steps = is_prompt ? 1 : n;
    const auto    collect = [&] {
        if (hooks.recorder != nullptr) {
            recorder_.collect(steps.pass == Pass::op ? steps.mode : EventMode::none);
        }
    };
    try {
        for (int32_t i = 0; i < n_steps; i++) {
            step(context, tokens.data() + i, is_prompt ? n : 1, steps, i);
            if (recorder_.is_nearly_full()) {
                collect();
            }
            check();
        }
    } catch (...) {
        collect();  // the steps before are whole, and stand in the harvest already
        throw;
    }
    collect();
}

}  // namespace slmprof
