#include "script.h"

#include "record/device_hooks.h"

#include "ggml-cpu.h"
#include "ggml.h"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace slmprof;
using namespace slmprof::test;

namespace {

using Times = std::vector<int64_t>;

constexpr uint32_t k_vec_dot = SLMPROF_CODE(SLMPROF_PATH_VEC_DOT, 0, GGML_TYPE_Q4_K, GGML_TYPE_Q8_K);

// One op on one of two threads, from `begin` to `end`.
Op op(int lane, int node, uint64_t begin, uint64_t end, bool is_last = false) {
    Op made;
    made.lane    = lane;
    made.node    = node;
    made.begin   = begin;
    made.end     = end;
    made.is_last = is_last;
    return made;
}

struct Fixture {
    Graph    graph{ "a" };
    Recorder recorder{ 2, 64, false };

    Fixture() { set_ns_per_tick(1.0); }

    // A run with these ops, from 10 ticks before the first one's begin to `end`.
    void run(const std::vector<Op> & ops, uint64_t end, int n_threads = 2) {
        begin_run(recorder, graph, n_threads, ops.front().begin - 10);
        for (const Op & each : ops) {
            play(each, n_threads);
        }
        end_run(recorder, end);
    }

    Recording collect(EventMode mode = EventMode::all) {
        recorder.collect(mode);
        return recorder.take();
    }
};

}  // namespace

TEST_SUITE_BEGIN("recorder");

TEST_CASE_FIXTURE(Fixture, "an op is an event on each thread, and a run lasts from the first op to the last barrier") {
    Op first      = op(0, 4, 100, 180);
    first.path    = k_vec_dot;
    first.n_fused = 1;
    run({ first, op(1, 4, 103, 190, true) }, 205);
    const Recording recording = collect();
    CHECK(recording.events.run == std::vector<int32_t>{ 0, 0 });
    CHECK(recording.events.lane == std::vector<int32_t>{ 0, 1 });
    CHECK(recording.events.node == std::vector<int32_t>{ 4, 4 });
    CHECK(recording.events.n_fused == std::vector<uint16_t>{ 1, 0 });
    CHECK(recording.events.begin_ns == Times{ 100, 103 });
    CHECK(recording.events.end_ns == Times{ 180, 190 });
    CHECK(recording.runs.begin_ns == Times{ 100 });
    CHECK(recording.runs.end_ns == Times{ 205 });
    CHECK(recording.runs.lane == std::vector<int32_t>{ 0 });
    CHECK(recording.runs.n_threads == std::vector<int32_t>{ 2 });
    // The thread that came to no place that tells ran the same code.
    for (const int32_t path : recording.events.path) {
        CHECK(recording.strings[static_cast<size_t>(path)] == "vec_dot_q4_K_q8_K");
    }
}

TEST_CASE_FIXTURE(Fixture, "the last thread's end is its next begin, but not in the next run") {
    run({ op(0, 0, 100, 150, true), op(0, 1, 160, 170) }, 180);
    run({ op(0, 0, 200, 250, true) }, 260);
    run({ op(0, 0, 300, 350) }, 360);
    CHECK(collect().events.begin_ns == Times{ 100, 150, 200, 300 });
    run({ op(0, 0, 400, 450, true) }, 460);
    recorder.collect(EventMode::all);  // after which runs are numbered anew
    run({ op(0, 0, 500, 550) }, 560);
    CHECK(collect().events.begin_ns == Times{ 400, 500 });
}

TEST_CASE_FIXTURE(Fixture, "one thread alone goes from op to op without a barrier") {
    run({ op(0, 0, 100, 150), op(0, 1, 160, 170) }, 180, 1);
    const Recording recording = collect();
    CHECK(recording.events.begin_ns == Times{ 100, 150 });
    CHECK(recording.events.end_ns == Times{ 150, 170 });
    CHECK(recording.runs.n_threads == std::vector<int32_t>{ 1 });
}

TEST_CASE_FIXTURE(Fixture, "ticks become nanoseconds") {
    set_ns_per_tick(0.5);
    run({ op(0, 0, 100, 151) }, 201);
    const Recording recording = collect();
    CHECK(recording.events.begin_ns == Times{ 50 });
    CHECK(recording.events.end_ns == Times{ 76 });  // 75.5, rounded
    set_ns_per_tick(1.0);
}

TEST_CASE("a conversion ends at the barrier within the op; an exact clock tells when a thread goes on") {
    for (const bool is_exact : { false, true }) {
        CAPTURE(is_exact);
        set_ns_per_tick(1.0);
        const Graph graph("a");
        Recorder    recorder(2, 64, is_exact);
        begin_run(recorder, graph, 2, 90);
        for (int lane = 0; lane < 2; lane++) {
            Op product      = op(lane, 0, 100, 200, lane == 1);
            product.path    = k_vec_dot;
            product.convert = lane == 0 ? 120 : 130;
            product.resume  = lane == 0 ? 134 : 0;
            play(product, 2);
        }
        end_run(recorder, 210);
        recorder.collect(EventMode::all);
        const Recording recording = recorder.take();
        CHECK(recording.events.convert_ns == Times{ 20, 30 });
        CHECK(recording.events.resume_ns == (is_exact ? Times{ 34, 30 } : Times{ 0, 0 }));
        CHECK(recording.strings[static_cast<size_t>(recording.events.convert[0])] == "quantize_row_q8_K");
    }
}

TEST_CASE("events that find no room are counted, and only they are lost") {
    set_ns_per_tick(1.0);
    const Graph graph("a");
    Recorder    recorder(2, 3, false);
    begin_run(recorder, graph, 2, 90);
    for (int lane = 0; lane < 2; lane++) {
        for (int node = 0; node < 5; node++) {
            const auto begin = static_cast<uint64_t>(100 + 10 * node);
            play(op(lane, node, begin, begin + 5), 2);
        }
    }
    end_run(recorder, 200);
    CHECK(recorder.is_nearly_full());
    recorder.collect(EventMode::all);
    const Recording recording = recorder.take();
    CHECK(recording.events.node == std::vector<int32_t>{ 0, 1, 2, 0, 1, 2 });
    CHECK(recording.runs.n_dropped == Times{ 4 });
}

TEST_CASE_FIXTURE(Fixture, "a step that failed leaves nothing behind") {
    Op routed        = op(0, 0, 100, 150);
    routed.n_experts = 3;
    run({ routed }, 160);
    begin_run(recorder, graph, 2, 200);
    routed.begin     = 210;
    routed.n_experts = 7;
    play(routed, 2);
    slmprof_run_end();
    recorder.abandon_step();
    recorder.stop();
    run({ op(0, 2, 300, 350) }, 360);
    const Recording recording = collect();
    CHECK(recording.events.node == std::vector<int32_t>{ 0, 2 });
    CHECK(recording.events.n_experts == std::vector<int32_t>{ 3, 0 });
    CHECK(recording.runs.step == std::vector<int32_t>{ 0, 1 });
    CHECK(recording.runs.end_ns == Times{ 160, 360 });
}

TEST_CASE_FIXTURE(Fixture, "segments tile a step around its run, without the recorder's own work") {
    fake_ticks = 10;
    recorder.start();
    recorder.step_begin(Phase::prefill, 0);
    fake_ticks = 20;
    slmprof_enter_segment(SLMPROF_SEGMENT_GRAPH_BUILD);
    fake_ticks = 40;
    fake_step  = 5;  // what the recorder does before the launch
    slmprof_run_begin(graph.get(), 2);
    fake_step = 0;
    play(op(0, 0, 50, 60), 2);
    end_run(recorder, 70, Phase::prefill);
    const Recording recording = collect();
    CHECK(recording.segments.kind ==
          std::vector<uint8_t>{ SLMPROF_SEGMENT_BATCH, SLMPROF_SEGMENT_GRAPH_BUILD, SLMPROF_SEGMENT_LAUNCH, SLMPROF_SEGMENT_OUTPUTS });
    CHECK(recording.segments.begin_ns == Times{ 10, 20, 45, 70 });
    CHECK(recording.segments.end_ns == Times{ 20, 40, 50, 70 });
    CHECK(recording.segments.step == std::vector<int32_t>{ 0, 0, 0, 0 });
}

TEST_CASE_FIXTURE(Fixture, "only the first thread tells of experts") {
    Op first = op(0, 0, 100, 150), second = op(1, 0, 100, 150, true);
    first.n_experts = second.n_experts = 4;
    run({ first, op(0, 1, 160, 170), second, op(1, 1, 160, 170) }, 180);
    CHECK(collect().events.n_experts == std::vector<int32_t>{ 4, 0, 0, 0 });
}

TEST_CASE_FIXTURE(Fixture, "lanes, types and graphs are handed over once, runs refer to them ever after") {
    run({ op(0, 0, 100, 150) }, 160);
    const Recording first = collect();
    CHECK(first.lanes.index == std::vector<int32_t>{ 0, 1 });
    CHECK(first.strings[static_cast<size_t>(first.lanes.kind[1])] == "cpu_thread");
    CHECK(first.lanes.device[0] == first.graphs.backend[0]);
    CHECK(first.graphs.n_rows == 1);
    bool has_q4_k = false;
    for (size_t i = 0; i < first.types.n_rows; i++) {
        CHECK(first.types.type_size[i] > 0);
        if (first.strings[static_cast<size_t>(first.types.name[i])] == "q4_K") {
            has_q4_k = true;
            CHECK(first.types.block_size[i] == 256);
            CHECK(first.types.type_size[i] == 144);
            CHECK(first.types.is_quantized[i] == 1);
        }
    }
    CHECK(has_q4_k);
    run({ op(0, 0, 200, 250) }, 260);
    const Recording second = collect();
    CHECK(second.lanes.n_rows + second.types.n_rows + second.graphs.n_rows + second.tensors.n_rows == 0);
    CHECK(second.runs.graph == first.runs.graph);
    CHECK(second.runs.step == std::vector<int32_t>{ 0 });
}

TEST_CASE_FIXTURE(Fixture, "memory counts the columns that were collected") {
    const auto total = [this] {
        uint64_t sum = 0;
        for (const AddressRange & range : recorder.memory()) {
            sum += range.size;
        }
        return sum;
    };
    const uint64_t before = total();
    run({ op(0, 0, 100, 150), op(1, 0, 100, 150, true) }, 160);
    recorder.collect(EventMode::all);
    CHECK(total() >= before + 2 * (2 * sizeof(int64_t) + 3 * sizeof(int32_t)));
}

TEST_CASE_FIXTURE(Fixture, "one recorder is active in the process at a time") {
    Recorder other(1, 16, false);
    recorder.start();
    CHECK(slmprof_threads != nullptr);
    CHECK_THROWS_AS(other.start(), std::logic_error);
    recorder.stop();
    CHECK(slmprof_threads == nullptr);
    other.start();
    other.stop();
}

TEST_CASE_FIXTURE(Fixture, "what another thread does while one records is none of the recording") {
    fake_ticks = 10;
    recorder.start();
    recorder.step_begin(Phase::prefill, 0);
    // It makes a context of its own, for example, and may find the hooks on just before they go off.
    const auto elsewhere = [this] {
        std::thread other([this] {
            slmprof_enter_segment(SLMPROF_SEGMENT_GRAPH_BUILD);
            slmprof_schedule_begin();
            slmprof_schedule_split(graph.get(), nullptr);
            CHECK_FALSE(slmprof_schedule_is_new());
            slmprof_schedule_end();
            slmprof_synchronized(nullptr);
            slmprof_read(nullptr);
            slmprof_read_async(nullptr);
        });
        other.join();
    };
    fake_ticks = 20;
    elsewhere();
    slmprof_run_begin(graph.get(), 2);
    play(op(0, 0, 50, 60), 2);
    end_run(recorder, 70, Phase::prefill);
    elsewhere();
    const Recording recording = collect();
    CHECK(recording.segments.kind ==
          std::vector<uint8_t>{ SLMPROF_SEGMENT_BATCH, SLMPROF_SEGMENT_LAUNCH, SLMPROF_SEGMENT_OUTPUTS });
    CHECK(recording.runs.n_rows == 1);
}

TEST_SUITE_END();
