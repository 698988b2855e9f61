// A session with CUPTI from the first graph to the join, and every way in which CUPTI refuses.

#include "cuda/cupti_session.h"
#include "fake_cupti.h"

#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <vector>

using namespace slmprof;
using namespace slmprof::test;

namespace {

constexpr uint32_t k_graph = 4, k_exec = 5;

// A session that is attached to a fake library.
struct Scene {
    FakeCupti     fake;
    CuptiApi      api = fake.api();
    StringTable   strings;
    CuptiSession  session{ api, strings, 4, 1 << 14 };
    RecordBuffer  records;
    uint32_t      next_correlation = 1;
    uint64_t      now_ns           = 1000;

    CUpti_GraphData node(uint32_t graph, uint32_t local) const {
        CUpti_GraphData data{};
        data.graph    = handle_of<CUgraph>(graph);
        data.node     = handle_of<CUgraphNode>(node_id(graph, local));
        data.nodeType = CU_GRAPH_NODE_TYPE_KERNEL;
        return data;
    }

    // The hooks and callbacks of one node that is captured.
    void capture(int ggml_node, uint32_t local, const char * symbol, int n_fused = 0) {
        SLMPROF_ISSUE_BEGIN(ggml_node);
        fake.launch_callback(symbol);
        fake.graph_callback(CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED, node(k_graph, local));
        fake.launch_callback("not on the way out", CUPTI_API_EXIT);
        SLMPROF_ISSUE_END(n_fused);
    }

    void instantiate(uint32_t n_nodes) {
        for (uint32_t local = 0; local < n_nodes; local++) {
            CUpti_GraphData data = node(k_exec, local);
            data.originalNode    = handle_of<CUgraphNode>(node_id(k_graph, local));
            fake.graph_callback(CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED, data);
            fake.graph_callback(CUPTI_CBID_RESOURCE_GRAPHNODE_CLONED, data);
        }
        CUpti_GraphData data{};
        data.graph     = handle_of<CUgraph>(k_graph);
        data.graphExec = handle_of<CUgraphExec>(k_exec);
        fake.graph_callback(CUPTI_CBID_RESOURCE_GRAPHEXEC_CREATED, data);
    }

    // What CUPTI records of a call, by the id that is on the stack.
    uint32_t call() {
        const uint32_t correlation = next_correlation++;
        if (!fake.pushed.empty()) {
            CUpti_ActivityExternalCorrelation external{};
            external.kind          = CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION;
            external.externalKind  = k_external_kind;
            external.externalId    = fake.pushed.back();
            external.correlationId = correlation;
            records.add(external);
        }
        return correlation;
    }

    void kernel(uint32_t correlation, const char * name, uint64_t graph_node = 0) {
        FakeKernel made{};
        made.kind          = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
        made.name          = name;
        made.start         = now_ns;
        made.end           = now_ns + 10;
        made.correlationId = correlation;
        made.graphNodeId   = graph_node;
        made.graphId       = graph_half(graph_node);
        records.add(made);
        now_ns += 20;
    }

    void replay() {
        SLMPROF_REPLAY_BEGIN(handle_of<void *>(k_exec), handle_of<void *>(k_graph));
        const uint32_t correlation = call();
        SLMPROF_REPLAY_END();
        kernel(correlation, "first", node_id(k_exec, 0));
        kernel(correlation, "second", node_id(k_exec, 1));
    }

    ggml_cgraph * ggml_graph() { return reinterpret_cast<ggml_cgraph *>(this); }
};

std::string failure_of(const std::string & function, int result) {
    Scene scene;
    scene.fake.results[function] = static_cast<CUptiResult>(result);
    bool is_attached             = false;
    try {
        scene.session.attach();
        is_attached = true;
        scene.session.trace(TraceLevel::nodes);
    } catch (const CuptiFailure & caught) {
        CHECK(scene.fake.is_subscribed == is_attached);
        CHECK((DeviceObserver::active() != nullptr) == is_attached);
        CHECK(scene.fake.kinds.empty());
        CuptiSession other(scene.api, scene.strings, 1, 1024);
        scene.session.detach();
        scene.fake.results.clear();
        other.attach();
        return caught.what();
    }
    return "";
}

bool contains(const std::string & text, const std::string & part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_SUITE_BEGIN("cupti session");

TEST_CASE("a run that launches, one that captures and replays, one that replays") {
    Scene scene;
    scene.session.attach();
    scene.session.trace(TraceLevel::nodes);

    SLMPROF_DEVICE_RUN_BEGIN(scene.ggml_graph(), 0, false);
    SLMPROF_ISSUE_BEGIN(0);
    scene.kernel(scene.call(), "first");
    SLMPROF_ISSUE_END(0);
    SLMPROF_ISSUE_BEGIN(2);
    scene.kernel(scene.call(), "second");
    SLMPROF_ISSUE_END(3);
    scene.kernel(scene.call(), "a stray");
    SLMPROF_DEVICE_RUN_END();

    SLMPROF_DEVICE_RUN_BEGIN(scene.ggml_graph(), 0, true);
    scene.capture(0, 0, "first");
    scene.capture(2, 1, "second", 3);
    scene.instantiate(2);
    scene.replay();
    SLMPROF_DEVICE_RUN_END();

    SLMPROF_DEVICE_RUN_BEGIN(scene.ggml_graph(), 0, false);
    scene.replay();
    SLMPROF_DEVICE_RUN_END();

    REQUIRE(scene.fake.deliver(scene.records));
    REQUIRE(scene.session.runs().size() == 3);
    for (const ObservedRun & run : scene.session.runs()) {
        CHECK(run.graph == scene.ggml_graph());
        scene.session.set_graph(run.run, 6);
    }
    const Activity activity = scene.session.read();
    const Joined   joined   = scene.session.join_and_forget(activity);
    CHECK(joined.kernels.node == std::vector<int32_t>{ 0, 2, -1, 0, 2, 0, 2 });
    CHECK(joined.kernels.n_fused == std::vector<uint16_t>{ 0, 3, 0, 0, 3, 0, 3 });
    CHECK(joined.kernels.run == std::vector<int32_t>{ 0, 0, -1, 1, 1, 2, 2 });
    CHECK(joined.kernels.graph == std::vector<int32_t>{ 6, 6, -1, 6, 6, 6, 6 });
    CHECK(joined.report.n_ordered == 4);
    CHECK(joined.report.n_misplaced == 0);
    CHECK(joined.report.n_misnamed == 0);
    CHECK(joined.report.strays.size() == 1);
    CHECK(scene.session.n_unidentified() == 0);
    CHECK(scene.session.runs().empty());
    CHECK(scene.fake.pushed.empty());
    CHECK(scene.fake.flushes == std::vector<uint32_t>{ 0 });
}

TEST_CASE("another kernel than the captured one is noticed by the names that CUPTI called back") {
    Scene scene;
    scene.session.attach();
    scene.session.trace(TraceLevel::nodes);
    SLMPROF_DEVICE_RUN_BEGIN(scene.ggml_graph(), 0, true);
    scene.capture(0, 0, "first");
    scene.capture(2, 1, "another");
    scene.instantiate(2);
    scene.replay();
    SLMPROF_DEVICE_RUN_END();
    REQUIRE(scene.fake.deliver(scene.records));
    CHECK(scene.session.join_and_forget(scene.session.read()).report.n_misnamed == 1);
}

TEST_CASE("a node that no launch made has no name, nor that of the launch before it") {
    Scene scene;
    scene.session.attach();
    scene.session.trace(TraceLevel::nodes);
    SLMPROF_DEVICE_RUN_BEGIN(scene.ggml_graph(), 0, true);
    SLMPROF_ISSUE_BEGIN(0);
    scene.fake.launch_callback("first");
    scene.fake.graph_callback(CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED, scene.node(k_graph, 0));
    scene.fake.launch_callback("first", CUPTI_API_EXIT);
    scene.fake.graph_callback(CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED, scene.node(k_graph, 1));
    SLMPROF_ISSUE_END(0);
    scene.instantiate(2);
    scene.replay();
    SLMPROF_DEVICE_RUN_END();
    REQUIRE(scene.fake.deliver(scene.records));
    CHECK(scene.session.join_and_forget(scene.session.read()).report.n_misnamed == 0);
}

TEST_CASE("names are called back only while a graph is captured") {
    Scene scene;
    scene.session.attach();
    const size_t n_graph_callbacks = scene.fake.callbacks.size();
    SLMPROF_DEVICE_RUN_BEGIN(scene.ggml_graph(), 0, false);
    CHECK(scene.fake.callbacks.size() == n_graph_callbacks);
    SLMPROF_DEVICE_RUN_END();
    SLMPROF_DEVICE_RUN_BEGIN(scene.ggml_graph(), 0, true);
    CHECK(scene.fake.callbacks.size() > n_graph_callbacks);
    SLMPROF_DEVICE_RUN_END();
    CHECK(scene.fake.callbacks.size() == n_graph_callbacks);
}

TEST_CASE("a graph that is captured while nothing is traced is known when it is replayed") {
    Scene scene;
    scene.session.attach();
    SLMPROF_DEVICE_RUN_BEGIN(scene.ggml_graph(), 0, true);
    scene.capture(0, 0, "first");
    scene.capture(2, 1, "second");
    scene.instantiate(2);
    scene.replay();
    SLMPROF_DEVICE_RUN_END();
    SLMPROF_DEVICE_RUN_BEGIN(scene.ggml_graph(), 0, false);
    SLMPROF_ISSUE_BEGIN(0);
    SLMPROF_ISSUE_END(0);
    SLMPROF_DEVICE_RUN_END();
    CHECK(scene.fake.all_pushed.empty());
    CHECK(scene.fake.kinds.empty());
    scene.records = {};
    scene.session.join_and_forget(scene.session.read());

    scene.session.trace(TraceLevel::nodes);
    SLMPROF_DEVICE_RUN_BEGIN(scene.ggml_graph(), 0, false);
    scene.replay();
    SLMPROF_DEVICE_RUN_END();
    REQUIRE(scene.fake.deliver(scene.records));
    CHECK(scene.session.join_and_forget(scene.session.read()).kernels.node == std::vector<int32_t>{ 0, 2 });
}

TEST_CASE("what other threads capture is not ggml's") {
    Scene scene;
    scene.session.attach();
    SLMPROF_DEVICE_RUN_BEGIN(scene.ggml_graph(), 0, true);
    SLMPROF_ISSUE_BEGIN(0);
    std::thread([&] { scene.fake.graph_callback(CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED, scene.node(k_graph, 0)); }).join();
    SLMPROF_ISSUE_END(0);
    scene.instantiate(1);
    SLMPROF_DEVICE_RUN_END();
    scene.session.trace(TraceLevel::nodes);
    SLMPROF_DEVICE_RUN_BEGIN(scene.ggml_graph(), 0, false);
    scene.replay();
    SLMPROF_DEVICE_RUN_END();
    REQUIRE(scene.fake.deliver(scene.records));
    CHECK(scene.session.join_and_forget(scene.session.read()).kernels.node == std::vector<int32_t>{ -1, -1 });
}

TEST_CASE("each level collects its own records, and leaves none on") {
    Scene scene;
    scene.session.attach();
    scene.session.trace(TraceLevel::nodes);
    CHECK(scene.fake.kinds.count(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) == 1);
    CHECK(scene.fake.kinds.count(CUPTI_ACTIVITY_KIND_RUNTIME) == 1);
    CHECK(scene.fake.kinds.count(CUPTI_ACTIVITY_KIND_GRAPH_TRACE) == 0);
    scene.session.trace(TraceLevel::graphs);
    CHECK(scene.fake.kinds.count(CUPTI_ACTIVITY_KIND_GRAPH_TRACE) == 1);
    scene.session.trace(TraceLevel::none);
    CHECK(scene.fake.kinds.empty());
    scene.session.trace(TraceLevel::graphs);
    scene.session.detach();
    CHECK(scene.fake.kinds.empty());
    CHECK_FALSE(scene.fake.is_subscribed);
}

TEST_CASE("records that find no buffer are counted") {
    Scene scene;
    scene.session.attach();
    scene.kernel(1, "k");
    for (int i = 0; i < 4; i++) {
        CHECK(scene.fake.deliver(scene.records));
    }
    CHECK(scene.session.is_nearly_full());
    CHECK_FALSE(scene.fake.deliver(scene.records));
    scene.fake.n_dropped    = 3;
    const Activity activity = scene.session.read();
    CHECK(activity.kernels.size() == 4);
    CHECK(activity.counts.n_dropped == 3);
    CHECK(scene.fake.deliver(scene.records));
}

TEST_CASE("a buffer that CUPTI still has is flushed out, or left to it") {
    Scene     scene;
    uint8_t * buffer = nullptr;
    size_t    size = 0, n = 0;
    scene.session.attach();
    scene.fake.request(&buffer, &size, &n);
    REQUIRE(buffer != nullptr);
    CHECK(size == 1 << 14);
    scene.session.detach();
    CHECK(scene.fake.flushes == std::vector<uint32_t>{ CUPTI_ACTIVITY_FLAG_FLUSH_FORCED });
    buffer[0] = 1;
    scene.fake.complete(nullptr, 0, buffer, size, 8);  // much later
    scene.fake.request(&buffer, &size, &n);
    CHECK(buffer == nullptr);
    CHECK(size == 0);
}

TEST_CASE("one session at a time") {
    Scene        scene;
    CuptiSession other(scene.api, scene.strings, 1, 1024);
    scene.session.attach();
    CHECK_THROWS_AS(other.attach(), CuptiFailure);
    CHECK(DeviceObserver::active() != nullptr);
    scene.session.detach();
    other.attach();
}

TEST_CASE("each refusal is said, and leaves nothing behind") {
    CHECK(contains(failure_of("cuptiSubscribe", 39), "another profiler"));
    CHECK(contains(failure_of("cuptiSubscribe", 15), "driver"));
    CHECK(contains(failure_of("cuptiSubscribe", 999), "driver"));
    CHECK(contains(failure_of("cuptiActivityRegisterCallbacks", 1), "cuptiActivityRegisterCallbacks"));
    CHECK(contains(failure_of("cuptiEnableCallback", 21), "CUPTI says: a text (21)"));
    CHECK(contains(failure_of("cuptiActivityEnable", 35), "not permitted"));
    CHECK(contains(failure_of("cuptiActivityEnable", 27), "does not support"));
}

TEST_CASE("later refusals") {
    Scene scene;
    scene.session.attach();
    SUBCASE("a flush") {
        scene.fake.results["cuptiActivityFlushAll"] = CUPTI_ERROR_UNKNOWN;
        CHECK_THROWS_AS(scene.session.read(), CuptiFailure);
    }
    SUBCASE("a clock") {
        scene.fake.results["cuptiGetTimestamp"] = CUPTI_ERROR_NOT_INITIALIZED;
        CHECK_THROWS_AS(scene.session.read_clocks(), CuptiFailure);
    }
    SUBCASE("a correlation: what runs is a stray, and the stack stays as it was") {
        scene.fake.results["cuptiActivityPushExternalCorrelationId"] = CUPTI_ERROR_INVALID_PARAMETER;
        scene.session.trace(TraceLevel::nodes);
        SLMPROF_DEVICE_RUN_BEGIN(scene.ggml_graph(), 0, false);
        SLMPROF_ISSUE_BEGIN(0);
        scene.kernel(scene.call(), "k");
        SLMPROF_ISSUE_END(0);
        SLMPROF_DEVICE_RUN_END();
        CHECK(scene.fake.deliver(scene.records));
        CHECK(scene.session.join_and_forget(scene.session.read()).kernels.node == std::vector<int32_t>{ -1 });
    }
    SUBCASE("an id is counted") {
        scene.fake.results["cuptiGetGraphNodeId"] = CUPTI_ERROR_INVALID_PARAMETER;
        SLMPROF_DEVICE_RUN_BEGIN(scene.ggml_graph(), 0, true);
        scene.capture(0, 0, "first");
        SLMPROF_DEVICE_RUN_END();
        CHECK(scene.session.n_unidentified() == 1);
    }
    SUBCASE("a broken buffer is counted") {
        scene.fake.results["cuptiActivityGetNextRecord"] = CUPTI_ERROR_INVALID_KIND;
        scene.kernel(1, "k");
        CHECK(scene.fake.deliver(scene.records));
        CHECK(scene.session.read().counts.n_broken == 1);
    }
}

TEST_CASE("both clocks are read, the device's within the host's") {
    Scene scene;
    scene.session.attach();
    const ClockReading reading = scene.session.read_clocks();
    CHECK(reading.device_ns == 5000);
    CHECK(reading.host_after_ns >= reading.host_before_ns);
}

TEST_CASE("versions that do not fit are refused before anything is tried") {
    FakeCupti fake;
    CuptiApi  api = fake.api();
    check_versions(api, 0);
    CHECK(api.version == CUPTI_API_VERSION);
    fake.version = 130400;
    CHECK_THROWS_AS(check_versions(api, 12080), CuptiFailure);
    check_versions(api, 13000);
    fake.version = 17;
    CHECK_THROWS_AS(check_versions(api, 13000), CuptiFailure);
    fake.results["cuptiGetVersion"] = CUPTI_ERROR_INVALID_PARAMETER;
    CHECK_THROWS_AS(check_versions(api, 0), CuptiFailure);
}

TEST_SUITE_END();
