#include "script.h"

#include "ggml-backend-impl.h"
#include "ggml-impl.h"
#include "record/clock.h"
#include "record/device_hooks.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

using namespace slmprof;
using namespace slmprof::test;

namespace {

using Times = std::vector<int64_t>;

// What a device is told takes 10 ticks to tell, and is done 40 ticks later.
struct Device {
    ggml_backend_reg    registry{};
    ggml_backend_device device{};
    ggml_backend        backend{};
    std::vector<int>    n_nodes;  // of the graphs that it was told
    uint64_t            done = 0;
    const char *        registry_name;

    explicit Device(const char * of_registry, bool is_async = true) : registry_name(of_registry) {
        registry.context        = this;
        registry.iface.get_name = [](ggml_backend_reg_t reg) { return static_cast<Device *>(reg->context)->registry_name; };
        device.reg              = &registry;
        device.context          = this;
        device.iface.get_name   = [](ggml_backend_dev_t) { return "FAKE0"; };
        device.iface.get_type   = [](ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_GPU; };
        backend.device          = &device;
        backend.context         = this;
        backend.iface.graph_compute = [](ggml_backend_t self, ggml_cgraph * graph) {
            auto & own = *static_cast<Device *>(self->context);
            own.n_nodes.push_back(ggml_graph_n_nodes(graph));
            fake_ticks += 10;
            own.done = fake_ticks + 40;
            return GGML_STATUS_SUCCESS;
        };
        if (is_async) {
            backend.iface.synchronize = [](ggml_backend_t self) {
                fake_ticks = std::max<uint64_t>(fake_ticks, static_cast<Device *>(self->context)->done);
            };
        }
    }
};

// A product on a device, between two steps' ends.
struct Fixture {
    Graph    graph{ "a" };
    Recorder recorder{ 2, 64, false };

    Fixture() { set_ns_per_tick(1.0); }

    void begin(Device & device, bool one_by_one) {
        fake_ticks = 100;
        recorder.start(one_by_one);
        recorder.step_begin(Phase::decode, 0);
        slmprof_schedule_begin();
        slmprof_schedule_split(graph.get(), &device.backend);
        slmprof_schedule_end();
    }

    Recording end(uint64_t ticks, EventMode mode = EventMode::all) {
        collect(ticks, mode);
        return recorder.take();
    }

    void collect(uint64_t ticks, EventMode mode) {
        fake_ticks = ticks;
        recorder.step_end();
        recorder.resolve_graphs();
        recorder.stop();
        StepColumns::Row step;
        step.phase    = static_cast<uint8_t>(Phase::decode);
        step.pass     = static_cast<uint8_t>(Pass::op);
        step.begin_ns = 100;
        step.end_ns   = static_cast<int64_t>(ticks);
        recorder.add_step(step);
        recorder.collect(mode);
    }
};

// Tells of two kernels of the only run, with a gap of 10 before each, and of one that belongs to no op.
struct Tracer : KernelTracer {
    std::vector<HostRun> asked;
    bool                 keeps_kernels = false;
    int                  n_forgotten   = 0;

    bool    traces(ggml_backend_device * device) const override { return std::string(ggml_backend_dev_name(device)) == "FAKE0"; }
    void    trace(TraceLevel) override {}
    int32_t last_run() const override { return 41; }
    bool    is_nearly_full() const override { return false; }
    void    forget() override { n_forgotten++; }
    void    stop() noexcept override {}

    std::vector<AddressRange> memory() const override { return {}; }

    DeviceActivity collect(const std::vector<HostRun> & runs, bool keeps) override {
        asked         = runs;
        keeps_kernels = keeps;
        DeviceActivity made;
        for (const HostRun & run : runs) {
            const int64_t at = run.begin_ns;
            // The second one begins while the first one runs.
            made.runs.push_back({ at, at + 60, { 0, 10, 10, 0, 0 }, { { 0, 0, 0, at + 10, at + 40 }, { 0, 0, 1, at + 30, at + 50 } } });
            LaunchColumns::Row launch;
            launch.run   = 0;
            launch.node  = 0;
            launch.issue = 1;
            made.launches.append(launch);
            launch.run = launch.node = launch.issue = -1;
            made.launches.append(launch);
            made.inputs.captures.append({ 0, 5 });
            made.inputs.captures.append({ 0, 6 });
            made.inputs.captured_nodes.append({ 1, 0, 77, 0, 3, 0, 0 });
            made.inputs.cloned_nodes.append({ 0, 78, 77 });
            made.inputs.graph_versions.append({ 0, 8, 1, -1 });
            made.inputs.issues.append({ -1, 0, 0, -1 });
            made.inputs.issues.append({ 0, -1, 0, 0 });
            made.strays.append({ 0, 2, 1, 7 });
            made.summary.n_stray = 1;
        }
        return made;
    }
};

std::string text(const Recording & recording, int32_t number) {
    return recording.strings[static_cast<size_t>(number)];
}

struct TracedFixture : Fixture {
    Tracer tracer;

    TracedFixture() { recorder.set_tracer(&tracer); }
    ~TracedFixture() { recorder.set_tracer(nullptr); }
};

}  // namespace

TEST_SUITE_BEGIN("devices");

TEST_CASE_FIXTURE(Fixture, "a split runs from when its device has been told until it was waited for") {
    Device device("FAKE");
    begin(device, false);
    CHECK(slmprof_compute_split(&device.backend, graph.get()) == GGML_STATUS_SUCCESS);
    fake_ticks = 120;
    ggml_backend_synchronize(&device.backend);
    const Recording recording = end(200, EventMode::none);
    CHECK(recording.runs.begin_ns == Times{ 110 });
    CHECK(recording.runs.end_ns == Times{ 150 });
    CHECK(recording.runs.lane == std::vector<int32_t>{ 2 });
    CHECK(recording.lanes.n_rows == 3);
    CHECK(text(recording, recording.lanes.kind[2]) == "device");
    CHECK(text(recording, recording.lanes.device[2]) == "FAKE0");
    CHECK(text(recording, recording.splits.device[0]) == "FAKE0");
    CHECK(text(recording, recording.graphs.backend[0]) == "FAKE0");
    CHECK(recording.events.n_rows == 0);
}

TEST_CASE_FIXTURE(TracedFixture, "a traced device runs its split as it is, and its kernels are events") {
    Device device("FAKE");
    for (const EventMode mode : { EventMode::all, EventMode::aggregate, EventMode::none }) {
        begin(device, true);
        device.n_nodes.clear();
        slmprof_compute_split(&device.backend, graph.get());
        CHECK(device.n_nodes.size() == 1);
        fake_ticks = 120;
        ggml_backend_synchronize(&device.backend);
        const Recording recording = end(200, mode);
        REQUIRE(recording.runs.n_rows == 1);
        if (mode == EventMode::none) {
            CHECK(tracer.n_forgotten == 1);
            CHECK(recording.traces.n_rows == 0);
            continue;
        }
        REQUIRE(tracer.asked.size() == 1);
        CHECK(tracer.asked[0].number == 41);
        CHECK(tracer.asked[0].begin_ns == 100);  // when it was told
        CHECK(tracer.asked[0].end_ns == 150);
        CHECK(recording.runs.begin_ns == Times{ 100 });
        CHECK(recording.runs.end_ns == Times{ 160 });
        CHECK(recording.runs.gap_host_ns == Times{ 10 });
        CHECK(recording.runs.gap_launch_ns == Times{ 10 });
        CHECK(recording.traces.n_stray == Times{ 1 });
        CHECK(recording.stray_kernels.total_ns == Times{ 7 });
        CHECK(tracer.keeps_kernels == (mode == EventMode::all));
        CHECK(recording.launches.run == std::vector<int32_t>{ 0, -1 });
        if (mode == EventMode::all) {
            CHECK(text(recording, recording.lanes.kind[2]) == "gpu");
            CHECK(recording.events.begin_ns == Times{ 110, 130 });
            CHECK(recording.events.end_ns == Times{ 140, 150 });
            CHECK(recording.stats.n_rows == 0);
        } else {
            CHECK(recording.events.n_rows == 0);
            CHECK(recording.stats.span_sum_ns == Times{ 30, 10 });  // what both have is the first one's
            CHECK(recording.stats.compute_sum_ns == std::vector<double>{ 30, 20 });
        }
    }
}

TEST_CASE_FIXTURE(TracedFixture, "what launches were joined by is counted on from collection to collection") {
    Device device("FAKE");
    for (int i = 0; i < 2; i++) {
        begin(device, true);
        slmprof_compute_split(&device.backend, graph.get());
        fake_ticks = 120;
        ggml_backend_synchronize(&device.backend);
        collect(200, EventMode::all);
    }
    const Recording recording = recorder.take();
    using Numbers             = std::vector<int32_t>;
    CHECK(recording.launches.trace == Numbers{ 0, 0, 1, 1 });
    CHECK(recording.launches.issue == Numbers{ 1, -1, 3, -1 });
    CHECK(recording.issues.run == Numbers{ -1, 0, -1, 1 });
    CHECK(recording.issues.version == Numbers{ -1, 0, -1, 1 });
    CHECK(recording.graph_versions.trace == Numbers{ 0, 1 });
    CHECK(recording.graph_versions.made_from == Numbers{ 1, 3 });
    CHECK(recording.graph_versions.updated_from == Numbers{ -1, -1 });
    CHECK(recording.captures.trace == Numbers{ 0, 0, 1, 1 });
    CHECK(recording.captures.cuda_graph == std::vector<uint32_t>{ 5, 6, 5, 6 });
    CHECK(recording.captured_nodes.capture == Numbers{ 1, 3 });
    CHECK(recording.captured_nodes.cuda_node == std::vector<uint64_t>{ 77, 77 });
    CHECK(recording.cloned_nodes.trace == Numbers{ 0, 1 });
}

TEST_CASE_FIXTURE(TracedFixture, "a traced run that was abandoned is asked for by nobody") {
    Device device("FAKE");
    begin(device, true);
    slmprof_compute_split(&device.backend, graph.get());
    recorder.abandon_step();
    recorder.stop();
    recorder.collect(EventMode::all);
    CHECK(tracer.asked.empty());
    CHECK(recorder.take().traces.n_rows == 0);
}

TEST_CASE_FIXTURE(Fixture, "to be synchronized with a remote device is not to know that it is done") {
    Device device("RPC");
    begin(device, false);
    slmprof_compute_split(&device.backend, graph.get());
    ggml_backend_synchronize(&device.backend);
    fake_ticks = 170;
    slmprof_read_async(&device.backend);
    ggml_backend_synchronize(&device.backend);
    CHECK(end(200).runs.end_ns == Times{ 170 });
}

TEST_CASE_FIXTURE(Fixture, "of what nobody waited for the end is not known") {
    Device device("FAKE");
    begin(device, false);
    slmprof_compute_split(&device.backend, graph.get());
    const Recording recording = end(190);
    CHECK(recording.runs.end_ns == recording.runs.begin_ns);
    CHECK(recording.runs.is_end_seen == std::vector<uint8_t>{ 0 });
}

TEST_CASE_FIXTURE(Fixture, "a device without a synchronization is done when the call returns") {
    Device device("FAKE", false);
    begin(device, false);
    slmprof_compute_split(&device.backend, graph.get());
    const Recording recording = end(190);
    CHECK(recording.runs.begin_ns == Times{ 100 });
    CHECK(recording.runs.end_ns == Times{ 110 });
}

TEST_CASE_FIXTURE(Fixture, "a device that tells nothing of its ops runs them one by one in an op pass") {
    Device device("FAKE");
    for (const EventMode mode : { EventMode::all, EventMode::aggregate }) {
        begin(device, true);
        device.n_nodes.clear();
        ggml_graph_node(graph.get(), 0)->flags |= GGML_TENSOR_FLAG_COMPUTE;
        slmprof_compute_split(&device.backend, graph.get());
        CHECK(device.n_nodes == std::vector<int>{ 1 });
        const Recording recording = end(300, mode);
        CHECK(recording.runs.n_rows == 1);
        if (mode == EventMode::all) {
            REQUIRE(recording.events.n_rows == 1);
            CHECK(recording.events.lane == std::vector<int32_t>{ 2 });
            CHECK(recording.events.end_ns[0] - recording.events.begin_ns[0] == 50);
        } else {
            REQUIRE(recording.stats.n_rows == 1);
            CHECK(recording.stats.span_sum_ns == Times{ 50 });
            CHECK(recording.stats.wait_sum_ns == std::vector<double>{ 0.0 });
        }
    }
}

TEST_CASE_FIXTURE(Fixture, "ops that a backend tells of are events of its lane") {
    Device device("BLAS", false);
    begin(device, true);
    device.backend.iface.graph_compute = [](ggml_backend_t, ggml_cgraph *) {
        slmprof_node_begin();
        fake_ticks += 30;
        slmprof_node_end(0, SLMPROF_CODE(SLMPROF_PATH_BLAS, 0, 0, 0));
        return GGML_STATUS_SUCCESS;
    };
    slmprof_compute_split(&device.backend, graph.get());
    const Recording recording = end(300);
    REQUIRE(recording.events.n_rows == 1);
    CHECK(recording.events.begin_ns == Times{ 100 });
    CHECK(recording.events.end_ns == Times{ 130 });
    CHECK(text(recording, recording.events.path[0]) == "cblas_sgemm");
    CHECK(text(recording, recording.lanes.kind[2]) == "accelerator");
}

TEST_CASE_FIXTURE(Fixture, "a copy lasts from when its source is done until the next thing begins") {
    Device device("FAKE");
    begin(device, false);
    slmprof_compute_split(&device.backend, graph.get());
    fake_ticks = 130;
    slmprof_copy_begin(ggml_graph_node(graph.get(), 0), &device.backend, &device.backend, graph.get());
    ggml_backend_synchronize(&device.backend);
    fake_ticks = 165;
    slmprof_enter_segment(SLMPROF_SEGMENT_LAUNCH);
    const Recording recording = end(200);
    CHECK(recording.copies.begin_ns == Times{ 150 });
    CHECK(recording.copies.end_ns == Times{ 165 });
    CHECK(recording.copies.size_bytes == Times{ static_cast<int64_t>(ggml_nbytes(ggml_graph_node(graph.get(), 0))) });
    CHECK(text(recording, recording.copies.tensor[0]) == "a.output");
}

TEST_CASE_FIXTURE(Fixture, "a step that failed leaves no run, copy or event") {
    Device device("FAKE");
    begin(device, true);
    slmprof_copy_begin(ggml_graph_node(graph.get(), 0), &device.backend, &device.backend, graph.get());
    slmprof_compute_split(&device.backend, graph.get());
    recorder.abandon_step();
    recorder.stop();
    recorder.collect(EventMode::all);
    const Recording recording = recorder.take();
    CHECK(recording.runs.n_rows + recording.copies.n_rows + recording.events.n_rows == 0);
}

TEST_CASE("splits of a graph are one graph, which reads no copies") {
    StringTable   strings;
    GraphRegistry registry(strings);
    Device        device("FAKE");
    const std::unique_ptr<ggml_context, void (*)(ggml_context *)> context(ggml_init({ 1 << 20, nullptr, true }), ggml_free);
    ggml_tensor * input  = ggml_new_tensor_1d(context.get(), GGML_TYPE_F32, 8);
    ggml_tensor * first  = ggml_sqr(context.get(), input);
    ggml_tensor * second = ggml_sqrt(context.get(), first);
    ggml_set_name(input, "input");
    ggml_set_name(first, "first");
    ggml_set_name(second, "second");
    ggml_cgraph * whole = ggml_new_graph(context.get());
    ggml_build_forward_expand(whole, second);
    ggml_tensor * copy = ggml_dup_tensor(context.get(), first);
    second->src[0]     = copy;
    ggml_cgraph before = ggml_graph_view(whole, 0, 1), behind = ggml_graph_view(whole, 1, 2);

    Schedule schedule;
    schedule.add_split(&before, &device.backend);
    schedule.add_split(&behind, &device.backend);
    schedule.add_copy(first, copy);
    CHECK(schedule.find(&before) == 0);
    CHECK(schedule.find(&behind) == 1);
    CHECK(schedule.find(whole) == -1);
    registry.find_or_copy(schedule);
    GraphColumns  graphs;
    SplitColumns  splits;
    TensorColumns tensors;
    registry.take(graphs, splits, tensors);
    CHECK(graphs.n_nodes == std::vector<int32_t>{ 2 });
    CHECK(splits.first_node == std::vector<int32_t>{ 0, 1 });
    CHECK(splits.n_nodes == std::vector<int32_t>{ 1, 1 });
    std::vector<std::string> names;
    for (const int32_t name : tensors.name) {
        names.push_back(strings.texts()[static_cast<size_t>(name)]);
    }
    CHECK(names == std::vector<std::string>{ "first", "second", "input" });
    CHECK(tensors.src[0] == std::vector<int32_t>{ 2, 0, -1 });
}

TEST_SUITE_END();
