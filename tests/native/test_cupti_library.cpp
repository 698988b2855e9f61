// The real library, where SLMPROF_CUPTI_LIBRARY names one: it needs no GPU to be loaded, to walk a buffer and
// to say why it cannot start.

#include "cuda/cupti_session.h"
#include "cuda/record_reader.h"
#include "fake_cupti.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

using namespace slmprof;
using namespace slmprof::test;

namespace {

const char * const k_path = std::getenv("SLMPROF_CUPTI_LIBRARY");

// Its functions; none where not even its version is told, as those from 13.4 on do without a driver.
std::optional<CuptiApi> loaded() {
    try {
        return load_cupti(CuptiLibrary({ k_path }, {}), 0);
    } catch (const CuptiFailure & caught) {
        MESSAGE(std::string(caught.what()));
        CHECK(std::string(caught.what()).find("driver") != std::string::npos);
        return std::nullopt;
    }
}

}  // namespace

TEST_SUITE_BEGIN("cupti library" * doctest::skip(k_path == nullptr));

TEST_CASE("it has all functions, and its version is known or it says why not") {
    const CuptiLibrary library({ k_path }, { 13, 12 });
    CHECK(library.path() == k_path);
    if (const auto api = loaded()) {
        CHECK(api->version >= 19);
        CHECK_THROWS_AS(load_cupti(library, 11080), CuptiFailure);
    }
}

TEST_CASE("it walks records of the version that this build has") {
    const auto api = loaded();
    // Between those of CUDA 12 and those of 13.4 there are others.
    const uint32_t least = SLMPROF_CUPTI_TELLS_SOURCES ? 130400 : 19;
    const uint32_t most  = SLMPROF_CUPTI_TELLS_SOURCES ? UINT32_MAX : 99;
    if (!api || api->version < least || api->version > most) {
        return;
    }
    FakeKernel kernel{};
    kernel.kind          = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
    kernel.name          = "_Z9scale_f32PKfPf";
    kernel.start         = 1000;
    kernel.end           = 1500;
    kernel.correlationId = 3;
    kernel.graphNodeId   = node_id(5, 3);
    CUpti_ActivityAPI call{};
    call.kind          = CUPTI_ACTIVITY_KIND_RUNTIME;
    call.correlationId = 3;
    RecordBuffer records;
    records.add(kernel);
    records.add(call);
    records.add(kernel);
    std::vector<uint8_t> bytes = records.bytes();
    Activity             activity;
    StringTable          strings;
    RecordReader(*api, strings, activity).read(bytes.data(), bytes.size());
    REQUIRE(activity.kernels.size() == 2);
    CHECK(activity.kernels[1].graph_node == node_id(5, 3));
    CHECK(activity.calls.size() == 1);
    CHECK(activity.counts.n_broken == 0);
    CHECK(strings.texts()[0] == "scale_f32(float const*, float*)");
}

TEST_CASE("it starts where there is a driver, and says why it does not elsewhere") {
    const auto api = loaded();
    if (!api) {
        return;
    }
    StringTable   strings;
    CuptiSession  session(*api, strings, 1, 4096);
    try {
        session.attach();
    } catch (const CuptiFailure & caught) {
        MESSAGE(std::string(caught.what()));
        CHECK(std::string(caught.what()).find("driver") != std::string::npos);
    }
}

TEST_SUITE_END();
