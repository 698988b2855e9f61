// A session with a library that a test plays: what ggml-cuda's hooks tell and CUPTI calls back, and the
// records that follow. Needs CUPTI's headers.

#pragma once

#include "cuda/cupti_session.h"
#include "fake_cupti.h"

#include <cstdint>

namespace slmprof::test {

constexpr uint32_t k_graph = 4, k_exec = 5;

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

}  // namespace slmprof::test
