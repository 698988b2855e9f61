// A session with CUPTI, from the first graph to the join.

#include "cupti_scene.h"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

using namespace slmprof;
using namespace slmprof::test;

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
    std::thread other([&] {
        scene.fake.graph_callback(CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED, scene.node(k_graph, 0));
    });
    other.join();
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

TEST_CASE("both clocks are read, the device's within the host's") {
    Scene scene;
    scene.session.attach();
    const ClockReading reading = scene.session.read_clocks();
    CHECK(reading.device_ns == 5000);
    CHECK(reading.host_after_ns >= reading.host_before_ns);
}

TEST_SUITE_END();
