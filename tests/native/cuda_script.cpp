#include "cuda_script.h"

namespace slmprof::test {

int32_t CudaScript::begin_run(int32_t graph, uint32_t on_device) {
    device = on_device;
    run_   = issues.begin_run(static_cast<int32_t>(on_device));
    issues.set_graph(run_, graph);
    return run_;
}

void CudaScript::launch(const Group & group) {
    const uint64_t issue = issues.begin(group.node);
    for (const int32_t name : group.kernels) {
        add_kernel(call(issue), name);
    }
    issues.end(group.n_fused);
}

void CudaScript::capture(uint32_t graph, const std::vector<Group> & groups, bool has_names) {
    uint32_t local = 0;
    for (const Group & group : groups) {
        nodes.begin_issue(*issues.find(issues.begin(group.node)));
        for (const int32_t name : group.kernels) {
            if (has_names) {
                nodes.begin_launch(name);
            }
            nodes.add_node(node_id(graph, local), NodeKind::kernel);
            captured_.push_back({ graph, node_id(graph, local), name });
            local++;
        }
        nodes.end_issue(group.n_fused);
    }
    nodes.set_graph(run_, issues.graph_of(run_));
}

void CudaScript::instantiate(uint32_t exec, uint32_t graph, bool sees_clones) {
    for (const Captured & captured : captured_) {
        if (sees_clones && captured.graph == graph) {
            const uint64_t clone = node_id(exec, local_half(captured.node));
            nodes.add_node(clone, NodeKind::kernel);
            nodes.add_clone(clone, captured.node, NodeKind::kernel);
        }
    }
    nodes.add_exec(exec, graph);
}

void CudaScript::replay(uint32_t exec, uint32_t graph, const ReplayRecords & how) {
    const uint32_t correlation = call(issues.begin_replay(nodes.launch(exec, graph)));
    for (const Captured & captured : captured_) {
        if (captured.graph == graph) {
            const uint32_t local = local_half(captured.node) + how.first_local;
            add_kernel(correlation, captured.name, exec, node_id(how.drops_graph ? 0 : exec, local),
                       how.tells_sources ? captured.node : 0);
        }
    }
}

uint32_t CudaScript::call(uint64_t issue) {
    const uint32_t correlation = next_correlation_++;
    activity.externals.push_back({ correlation, issue });
    CallRecord call;
    call.correlation = correlation;
    call.begin_ns    = now_ns - k_gap_ns - k_call_ns;
    call.end_ns      = now_ns - k_gap_ns;
    activity.calls.push_back(call);
    return correlation;
}

void CudaScript::add_kernel(uint32_t correlation, int32_t name, uint32_t exec, uint64_t node, uint64_t source) {
    KernelRecord kernel;
    kernel.name              = name;
    kernel.begin_ns          = now_ns;
    kernel.end_ns            = now_ns + k_kernel_ns;
    kernel.device            = device;
    kernel.stream            = stream;
    kernel.correlation       = correlation;
    kernel.graph             = exec;
    kernel.graph_node        = node;
    kernel.source_graph_node = source;
    activity.add(kernel);
    now_ns += k_kernel_ns + k_gap_ns;
}

}  // namespace slmprof::test
