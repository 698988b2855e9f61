// Every way in which CUPTI refuses, and what it has no room for.

#include "cupti_scene.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace slmprof;
using namespace slmprof::test;

namespace {

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

TEST_SUITE_BEGIN("cupti refusals");

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
