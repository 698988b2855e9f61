// Buffers as CUPTI fills them, read into neutral records.

#include "cuda/record_reader.h"
#include "fake_cupti.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace slmprof;
using namespace slmprof::test;

namespace {

FakeKernel kernel(const char * name, uint64_t begin_ns, uint64_t end_ns) {
    FakeKernel made{};
    made.kind          = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
    made.name          = name;
    made.start         = begin_ns;
    made.end           = end_ns;
    made.deviceId      = 1;
    made.contextId     = 2;
    made.streamId      = 7;
    made.correlationId = 40;
    return made;
}

struct Read {
    Activity    activity;
    StringTable strings;

    void from(FakeCupti & fake, const RecordBuffer & records) {
        const CuptiApi       api   = fake.api();
        std::vector<uint8_t> bytes = records.bytes();
        RecordReader(api, strings, activity).read(bytes.data(), bytes.size());
    }
};

}  // namespace

TEST_SUITE_BEGIN("cupti records");

TEST_CASE("a kernel with all that it has") {
    FakeCupti  fake;
    FakeKernel full           = kernel("_Z9scale_f32PKfPf", 1000, 1500);
    full.gridX                = 8;
    full.gridY                = 9;
    full.gridZ                = 10;
    full.blockX               = 32;
    full.blockY               = 4;
    full.blockZ               = 2;
    full.registersPerThread   = 64;
    full.staticSharedMemory   = 128;
    full.dynamicSharedMemory  = 256;
    full.localMemoryPerThread = 16;
    full.graphId              = 5;
    full.graphNodeId          = node_id(5, 3);
#if SLMPROF_CUPTI_TELLS_SOURCES
    full.sourceGraphNodeId = node_id(4, 3);
#endif
    RecordBuffer records;
    records.add(full);
    Read read;
    read.from(fake, records);
    REQUIRE(read.activity.kernels.size() == 1);
    const KernelRecord & got = read.activity.kernels[0];
    CHECK(read.strings.texts()[static_cast<size_t>(got.name)] == "scale_f32(float const*, float*)");
    CHECK(got.begin_ns == 1000);
    CHECK(got.end_ns == 1500);
    CHECK(got.device == 1);
    CHECK(got.context == 2);
    CHECK(got.stream == 7);
    CHECK(got.correlation == 40);
    CHECK(got.graph == 5);
    CHECK(got.graph_node == node_id(5, 3));
    CHECK(got.source_graph_node == (SLMPROF_CUPTI_TELLS_SOURCES ? node_id(4, 3) : 0));
    CHECK(got.grid == std::array<int32_t, 3>{ 8, 9, 10 });
    CHECK(got.block == std::array<int32_t, 3>{ 32, 4, 2 });
    CHECK(got.registers == 64);
    CHECK(got.static_shared_bytes == 128);
    CHECK(got.dynamic_shared_bytes == 256);
    CHECK(got.local_bytes == 16);
}

TEST_CASE("what an older library does not write is not read") {
    FakeCupti fake;
    fake.version    = 28;
    FakeKernel full = kernel("k", 1, 2);
#if SLMPROF_CUPTI_TELLS_SOURCES
    full.sourceGraphNodeId = node_id(4, 3);
#endif
    RecordBuffer records;
    records.add(full);
    Read read;
    read.from(fake, records);
    CHECK(read.activity.kernels[0].source_graph_node == 0);
}

TEST_CASE("copies, copies between devices, and fills") {
    FakeCupti fake;
    FakeCopy  copy{};
    copy.kind          = CUPTI_ACTIVITY_KIND_MEMCPY;
    copy.copyKind      = CUPTI_ACTIVITY_MEMCPY_KIND_DTOH;
    copy.bytes         = 4096;
    copy.start         = 10;
    copy.end           = 20;
    copy.deviceId      = 1;
    copy.correlationId = 41;
    copy.graphId       = 5;
    copy.graphNodeId   = node_id(5, 4);
    CUpti_ActivityMemcpyPtoP4 peer{};
    peer.kind        = CUPTI_ACTIVITY_KIND_MEMCPY2;
    peer.copyKind    = CUPTI_ACTIVITY_MEMCPY_KIND_PTOP;
    peer.bytes       = 8;
    peer.start       = 30;
    peer.end         = 40;
    peer.srcDeviceId = 2;
    peer.dstDeviceId = 3;
    FakeFill fill{};
    fill.kind     = CUPTI_ACTIVITY_KIND_MEMSET;
    fill.bytes    = 16;
    fill.start    = 50;
    fill.end      = 60;
    fill.streamId = 9;
    RecordBuffer records;
    records.add(copy);
    records.add(peer);
    records.add(fill);
    Read read;
    read.from(fake, records);
    const std::vector<DeviceCopyRecord> & got = read.activity.copies;
    REQUIRE(got.size() == 3);
    CHECK(got[0].kind == static_cast<uint8_t>(CopyKind::device_to_host));
    CHECK(got[0].size_bytes == 4096);
    CHECK(got[0].graph_node == node_id(5, 4));
    CHECK(got[0].correlation == 41);
    CHECK(got[0].peer == 1);
    CHECK(got[1].kind == static_cast<uint8_t>(CopyKind::peer_to_peer));
    CHECK(got[1].device == 2);
    CHECK(got[1].peer == 3);
    CHECK(got[2].kind == static_cast<uint8_t>(CopyKind::fill));
    CHECK(got[2].end_ns == 60);
    CHECK(got[2].stream == 9);
}

TEST_CASE("calls, and the correlations of this kind only") {
    FakeCupti         fake;
    CUpti_ActivityAPI call{};
    call.kind          = CUPTI_ACTIVITY_KIND_RUNTIME;
    call.cbid          = 211;
    call.start         = 100;
    call.end           = 130;
    call.threadId      = 12;
    call.correlationId = 40;
    CUpti_ActivityExternalCorrelation external{};
    external.kind          = CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION;
    external.externalKind  = k_external_kind;
    external.externalId    = 77;
    external.correlationId = 40;
    RecordBuffer records;
    records.add(external);
    external.externalKind = CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM1;
    records.add(external);
    records.add(call);
    call.kind = CUPTI_ACTIVITY_KIND_DRIVER;
    records.add(call);
    Read read;
    read.from(fake, records);
    REQUIRE(read.activity.calls.size() == 2);
    CHECK(read.activity.calls[0].code == 211);
    CHECK(read.activity.calls[0].end_ns == 130);
    CHECK(read.activity.calls[0].thread == 12);
    CHECK(read.activity.calls[0].is_driver == 0);
    CHECK(read.activity.calls[1].is_driver == 1);
    REQUIRE(read.activity.externals.size() == 1);
    CHECK(read.activity.externals[0].issue == 77);
    CHECK(read.activity.externals[0].correlation == 40);
}

TEST_CASE("kernels without times, kinds that nobody asked for, and a buffer that breaks off") {
    FakeCupti                fake;
    CUpti_ActivityName       other{};
    CUpti_ActivityGraphTrace graph{};
    other.kind = CUPTI_ACTIVITY_KIND_NAME;
    graph.kind = CUPTI_ACTIVITY_KIND_GRAPH_TRACE;
    RecordBuffer records;
    records.add(kernel("k", 0, 0));
    records.add(kernel("k", 200, 100));
    records.add(other);
    records.add(graph);
    records.add(kernel("k", 300, 400));
    CUpti_Activity broken{};
    broken.kind = CUPTI_ACTIVITY_KIND_INVALID;
    records.add(broken);
    records.add(kernel("k", 500, 600));
    Read read;
    read.from(fake, records);
    CHECK(read.activity.kernels.size() == 3);
    CHECK(read.activity.counts.n_untimed == 1);
    CHECK(read.activity.counts.n_reversed == 1);
    CHECK(read.activity.counts.n_unread == 1);
    CHECK(read.activity.counts.n_broken == 1);
    CHECK(read.strings.texts().size() == 1);
}

TEST_CASE("an empty buffer is nothing, and a name that is none is kept as it is") {
    FakeCupti fake;
    Read      read;
    read.from(fake, {});
    CHECK(read.activity.counts.n_broken == 0);
    CHECK(demangled("ampere_sgemm_32x32_tn") == "ampere_sgemm_32x32_tn");
    CHECK(demangled("_Z13mul_mat_vec_qIL9ggml_type12ELi1ELb0ELb0EEvPKvS2_") ==
          "void mul_mat_vec_q<(ggml_type)12, 1, false, false>(void const*, void const*)");
    RecordBuffer records;
    records.add(kernel(nullptr, 1, 2));
    read.from(fake, records);
    CHECK(read.strings.texts() == std::vector<std::string>{ "?" });
}

TEST_SUITE_END();
