#include "cuda/cupti_session.h"

#include "cuda/join_inputs.h"
#include "cuda/record_reader.h"
#include "record/clock.h"

namespace slmprof {
namespace {

// CUPTI's callbacks for buffers have no argument of ours. Once registered they stay.
std::atomic<CuptiSession *> active_session{ nullptr };

constexpr CUpti_CallbackId k_graph_callbacks[] = {
    CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED,      CUPTI_CBID_RESOURCE_GRAPHNODE_CLONED,
    CUPTI_CBID_RESOURCE_GRAPH_CLONED,           CUPTI_CBID_RESOURCE_GRAPHEXEC_CREATED,
    CUPTI_CBID_RESOURCE_GRAPH_DESTROY_STARTING, CUPTI_CBID_RESOURCE_GRAPHEXEC_DESTROY_STARTING,
};

// Calls that name a kernel, on streams of both kinds.
struct Launch {
    CUpti_CallbackDomain domain;
    CUpti_CallbackId     id;
};
constexpr Launch k_launch_callbacks[] = {
    { CUPTI_CB_DOMAIN_RUNTIME_API, CUPTI_RUNTIME_TRACE_CBID_cudaLaunchKernel_v7000 },
    { CUPTI_CB_DOMAIN_RUNTIME_API, CUPTI_RUNTIME_TRACE_CBID_cudaLaunchKernel_ptsz_v7000 },
    { CUPTI_CB_DOMAIN_RUNTIME_API, CUPTI_RUNTIME_TRACE_CBID_cudaLaunchKernelExC_v11060 },
    { CUPTI_CB_DOMAIN_RUNTIME_API, CUPTI_RUNTIME_TRACE_CBID_cudaLaunchKernelExC_ptsz_v11060 },
    { CUPTI_CB_DOMAIN_RUNTIME_API, CUPTI_RUNTIME_TRACE_CBID_cudaLaunchCooperativeKernel_v9000 },
    { CUPTI_CB_DOMAIN_RUNTIME_API, CUPTI_RUNTIME_TRACE_CBID_cudaLaunchCooperativeKernel_ptsz_v9000 },
    { CUPTI_CB_DOMAIN_DRIVER_API, CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel },
    { CUPTI_CB_DOMAIN_DRIVER_API, CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel_ptsz },
    { CUPTI_CB_DOMAIN_DRIVER_API, CUPTI_DRIVER_TRACE_CBID_cuLaunchKernelEx },
    { CUPTI_CB_DOMAIN_DRIVER_API, CUPTI_DRIVER_TRACE_CBID_cuLaunchKernelEx_ptsz },
    { CUPTI_CB_DOMAIN_DRIVER_API, CUPTI_DRIVER_TRACE_CBID_cuLaunchCooperativeKernel },
    { CUPTI_CB_DOMAIN_DRIVER_API, CUPTI_DRIVER_TRACE_CBID_cuLaunchCooperativeKernel_ptsz },
};

// Correlations exist only where calls are recorded, too.
constexpr CUpti_ActivityKind k_kinds[] = {
    CUPTI_ACTIVITY_KIND_RUNTIME, CUPTI_ACTIVITY_KIND_DRIVER,  CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION,
    CUPTI_ACTIVITY_KIND_MEMCPY,  CUPTI_ACTIVITY_KIND_MEMCPY2, CUPTI_ACTIVITY_KIND_MEMSET,
    CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
};

NodeKind kind_of(CUgraphNodeType type) {
    switch (type) {
        case CU_GRAPH_NODE_TYPE_KERNEL: return NodeKind::kernel;
        case CU_GRAPH_NODE_TYPE_MEMCPY: return NodeKind::copy;
        case CU_GRAPH_NODE_TYPE_MEMSET: return NodeKind::fill;
        case CU_GRAPH_NODE_TYPE_GRAPH:  return NodeKind::child;
        default:                        return NodeKind::other;
    }
}

}  // namespace

CuptiSession::CuptiSession(const CuptiApi & api, StringTable & strings, size_t n_buffers, size_t buffer_bytes)
    : api_(api), strings_(strings), buffers_(n_buffers, buffer_bytes) {}

CuptiSession::~CuptiSession() { detach(); }

void CuptiSession::attach() {
    CuptiSession * none = nullptr;
    if (!active_session.compare_exchange_strong(none, this)) {
        throw CuptiFailure("CUPTI is in use already in this process");
    }
    try {
        api_.check(api_.cuptiSubscribe(&subscriber_, call_back, this), "cuptiSubscribe");
        api_.check(api_.cuptiActivityRegisterCallbacks(request_buffer, complete_buffer),
                   "cuptiActivityRegisterCallbacks");
        for (const CUpti_CallbackId id : k_graph_callbacks) {
            api_.check(api_.cuptiEnableCallback(1, subscriber_, CUPTI_CB_DOMAIN_RESOURCE, id), "cuptiEnableCallback");
        }
        observe();
    } catch (...) {
        detach();
        throw;
    }
}

void CuptiSession::detach() {
    ignore();
    disable(level_);
    level_ = TraceLevel::none;
    if (buffers_.has_lent()) {
        api_.cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);  // so that they come back
    }
    if (subscriber_ != nullptr) {
        api_.cuptiUnsubscribe(subscriber_);
        subscriber_ = nullptr;
    }
    CuptiSession * self = this;
    active_session.compare_exchange_strong(self, nullptr);
}

void CuptiSession::trace(TraceLevel level) {
    if (level != level_) {
        disable(level_);
        level_ = TraceLevel::none;
        enable(level);
        level_ = level;
    }
}

void CuptiSession::enable(TraceLevel level) {
    if (level == TraceLevel::none) {
        return;
    }
    try {
        for (const CUpti_ActivityKind kind : k_kinds) {
            api_.check(api_.cuptiActivityEnable(kind), "cuptiActivityEnable");
        }
        if (level == TraceLevel::graphs) {
            api_.check(api_.cuptiActivityEnable(CUPTI_ACTIVITY_KIND_GRAPH_TRACE), "cuptiActivityEnable");
        }
    } catch (...) {
        disable(level);
        throw;
    }
}

void CuptiSession::disable(TraceLevel level) {
    if (level == TraceLevel::none) {
        return;
    }
    // That a kind was not on is no failure here.
    for (const CUpti_ActivityKind kind : k_kinds) {
        api_.cuptiActivityDisable(kind);
    }
    if (level == TraceLevel::graphs) {
        api_.cuptiActivityDisable(CUPTI_ACTIVITY_KIND_GRAPH_TRACE);
    }
}

ClockReading CuptiSession::read_clocks() const {
    ClockReading best{};
    for (int i = 0; i < 16; i++) {
        uint64_t      device = 0;
        // By the clock that steps and runs are told in.
        const int64_t before = tick_scale().to_ns(read_ticks());
        api_.check(api_.cuptiGetTimestamp(&device), "cuptiGetTimestamp");
        const int64_t after = tick_scale().to_ns(read_ticks());
        if (i == 0 || after - before < best.host_after_ns - best.host_before_ns) {
            best = { before, static_cast<int64_t>(device), after };
        }
    }
    return best;
}

void CuptiSession::set_graph(int32_t run, int32_t graph) {
    issues_.set_graph(run, graph);
    nodes_.set_graph(run, graph);
}

Activity CuptiSession::read() {
    api_.check(api_.cuptiActivityFlushAll(0), "cuptiActivityFlushAll");
    count_dropped(nullptr, 0);
    Activity     activity;
    RecordReader reader(api_, strings_, activity);
    for (const ActivityBuffers::Filled & filled : buffers_.take_filled()) {
        reader.read(filled.data, filled.used_bytes);
        buffers_.give_back(filled.data);
    }
    activity.counts.n_dropped += buffers_.take_n_dropped();
    return activity;
}

Joined CuptiSession::join_and_forget(const Activity & activity, bool keeps_inputs) {
    Joined joined = join(activity, issues_, nodes_);
    if (keeps_inputs) {
        keep_inputs(activity, issues_, nodes_, joined);
    }
    issues_.clear();
    nodes_.forget_removed();
    runs_.clear();
    return joined;
}

void CuptiSession::begin_run(ggml_cgraph * graph, int device, bool is_captured) {
    thread_       = std::this_thread::get_id();
    is_capturing_ = is_captured;
    runs_.push_back({ issues_.begin_run(device), graph, device });
    if (is_captured) {
        set_launch_callbacks(true);
    }
}

void CuptiSession::end_run() { set_launch_callbacks(false); }

void CuptiSession::begin_issue(int node) {
    if (is_capturing_) {
        nodes_.begin_issue(*issues_.find(issues_.begin(node)));
    } else if (level_ != TraceLevel::none) {
        push(issues_.begin(node));
    }
}

void CuptiSession::end_issue(int n_fused) {
    if (is_capturing_) {
        nodes_.end_issue(static_cast<uint16_t>(n_fused));
    } else if (is_pushed_) {
        pop();
        issues_.end(static_cast<uint16_t>(n_fused));
    }
}

void CuptiSession::begin_replay(void * executable, void * captured) {
    if (level_ != TraceLevel::none) {
        const uint32_t exec = id_of(static_cast<CUgraphExec>(executable));
        push(issues_.begin_replay(nodes_.launch(exec, id_of(static_cast<CUgraph>(captured)))));
    }
}

void CuptiSession::end_replay() {
    if (is_pushed_) {
        pop();
    }
}

void CuptiSession::request_buffer(uint8_t ** buffer, size_t * size_bytes, size_t * n_records) {
    CuptiSession * const session = active_session.load();
    *buffer     = session != nullptr ? session->buffers_.request() : nullptr;
    *size_bytes = *buffer != nullptr ? session->buffers_.size_bytes() : 0;
    *n_records  = 0;  // as many as fit
}

void CuptiSession::complete_buffer(CUcontext context, uint32_t stream, uint8_t * buffer, size_t, size_t used_bytes) {
    CuptiSession * const session = active_session.load();
    if (session != nullptr && buffer != nullptr) {
        session->count_dropped(context, stream);
        session->buffers_.complete(buffer, used_bytes);
    }
}

void CuptiSession::call_back(void * self, CUpti_CallbackDomain domain, CUpti_CallbackId id, const void * data) {
    auto & session = *static_cast<CuptiSession *>(self);
    if (std::this_thread::get_id() != session.thread_) {
        return;
    }
    if (domain == CUPTI_CB_DOMAIN_RESOURCE) {
        const auto * resource = static_cast<const CUpti_ResourceData *>(data);
        session.follow(id, *static_cast<const CUpti_GraphData *>(resource->resourceDescriptor));
    } else {
        session.name_launch(*static_cast<const CUpti_CallbackData *>(data));
    }
}

void CuptiSession::set_launch_callbacks(bool is_on) {
    if (is_on == has_callbacks_) {
        return;
    }
    has_callbacks_ = is_on;
    for (const Launch & launch : k_launch_callbacks) {
        // Names only check the join: without them it is the same.
        api_.cuptiEnableCallback(is_on ? 1 : 0, subscriber_, launch.domain, launch.id);
    }
}

void CuptiSession::follow(CUpti_CallbackId id, const CUpti_GraphData & data) {
    switch (id) {
        case CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED:
            return nodes_.add_node(id_of(data.node), kind_of(data.nodeType));
        case CUPTI_CBID_RESOURCE_GRAPHNODE_CLONED:
            return nodes_.add_clone(id_of(data.node), id_of(data.originalNode), kind_of(data.nodeType));
        case CUPTI_CBID_RESOURCE_GRAPH_CLONED:
            return nodes_.add_cloned_graph(id_of(data.graph), id_of(data.originalGraph));
        case CUPTI_CBID_RESOURCE_GRAPHEXEC_CREATED:
            return nodes_.add_exec(id_of(data.graphExec), id_of(data.graph));
        case CUPTI_CBID_RESOURCE_GRAPH_DESTROY_STARTING:     return nodes_.remove_graph(id_of(data.graph));
        case CUPTI_CBID_RESOURCE_GRAPHEXEC_DESTROY_STARTING: return nodes_.remove_exec(id_of(data.graphExec));
        default:                                             return;
    }
}

void CuptiSession::name_launch(const CUpti_CallbackData & data) {
    if (data.callbackSite == CUPTI_API_ENTER && data.symbolName != nullptr) {
        nodes_.begin_launch(strings_.intern(demangled(data.symbolName)));
    }
}

void CuptiSession::count_dropped(CUcontext context, uint32_t stream) {
    size_t n = 0;
    if (api_.cuptiActivityGetNumDroppedRecords(context, stream, &n) == CUPTI_SUCCESS && n > 0) {
        buffers_.add_dropped(static_cast<int64_t>(n));
    }
}

void CuptiSession::push(uint64_t issue) {
    is_pushed_ = api_.cuptiActivityPushExternalCorrelationId(k_external_kind, issue) == CUPTI_SUCCESS;
}

void CuptiSession::pop() {
    uint64_t last = 0;
    api_.cuptiActivityPopExternalCorrelationId(k_external_kind, &last);
    is_pushed_ = false;
}

uint64_t CuptiSession::id_of(CUgraphNode node) {
    uint64_t id = 0;
    n_unidentified_ += api_.cuptiGetGraphNodeId(node, &id) != CUPTI_SUCCESS ? 1 : 0;
    return id;
}

uint32_t CuptiSession::id_of(CUgraph graph) {
    uint32_t id = 0;
    n_unidentified_ += api_.cuptiGetGraphId(graph, &id) != CUPTI_SUCCESS ? 1 : 0;
    return id;
}

uint32_t CuptiSession::id_of(CUgraphExec exec) {
    uint32_t id = 0;
    n_unidentified_ += api_.cuptiGetGraphExecId(exec, &id) != CUPTI_SUCCESS ? 1 : 0;
    return id;
}

}  // namespace slmprof
