#include "fake_cupti.h"

namespace slmprof::test {
namespace {

FakeCupti * fake = nullptr;

// What the test wants this function to answer.
CUptiResult answer(const char * function) {
    const auto result = fake->results.find(function);
    return result != fake->results.end() ? result->second : CUPTI_SUCCESS;
}

CUptiResult CUPTIAPI get_version(uint32_t * version) {
    *version = fake->version;
    return answer("cuptiGetVersion");
}

CUptiResult CUPTIAPI get_result_string(CUptiResult, const char ** text) {
    *text = "a text";
    return answer("cuptiGetResultString");
}

CUptiResult CUPTIAPI get_timestamp(uint64_t * time) {
    *time = fake->now_ns;
    return answer("cuptiGetTimestamp");
}

CUptiResult CUPTIAPI subscribe(CUpti_SubscriberHandle * subscriber, CUpti_CallbackFunc callback, void * callee) {
    const CUptiResult result = answer("cuptiSubscribe");
    if (result == CUPTI_SUCCESS) {
        *subscriber         = handle_of<CUpti_SubscriberHandle>(1);
        fake->callback      = callback;
        fake->callee        = callee;
        fake->is_subscribed = true;
    }
    return result;
}

CUptiResult CUPTIAPI unsubscribe(CUpti_SubscriberHandle) {
    fake->is_subscribed = false;
    return answer("cuptiUnsubscribe");
}

CUptiResult CUPTIAPI enable_callback(uint32_t is_on, CUpti_SubscriberHandle, CUpti_CallbackDomain domain,
                                     CUpti_CallbackId id) {
    if (is_on != 0) {
        fake->callbacks.insert({ domain, id });
    } else {
        fake->callbacks.erase({ domain, id });
    }
    return answer("cuptiEnableCallback");
}

CUptiResult CUPTIAPI register_callbacks(CUpti_BuffersCallbackRequestFunc  request,
                                        CUpti_BuffersCallbackCompleteFunc complete) {
    fake->request  = request;
    fake->complete = complete;
    return answer("cuptiActivityRegisterCallbacks");
}

CUptiResult CUPTIAPI enable(CUpti_ActivityKind kind) {
    // The last one that is asked for.
    const bool        may_fail = kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
    const CUptiResult result   = may_fail ? answer("cuptiActivityEnable") : CUPTI_SUCCESS;
    if (result == CUPTI_SUCCESS) {
        fake->kinds.insert(kind);
    }
    return result;
}

CUptiResult CUPTIAPI disable(CUpti_ActivityKind kind) {
    fake->kinds.erase(kind);
    return answer("cuptiActivityDisable");
}

CUptiResult CUPTIAPI flush(uint32_t flag) {
    fake->flushes.push_back(flag);
    return answer("cuptiActivityFlushAll");
}

CUptiResult CUPTIAPI get_next_record(uint8_t * buffer, size_t size_bytes, CUpti_Activity ** record) {
    const CUptiResult result = answer("cuptiActivityGetNextRecord");
    if (result != CUPTI_SUCCESS) {
        return result;
    }
    size_t offset = 0;
    if (*record != nullptr) {
        offset = static_cast<size_t>(reinterpret_cast<uint8_t *>(*record) - buffer) + fake->sizes.at((*record)->kind);
    }
    if (offset >= size_bytes) {
        return CUPTI_ERROR_MAX_LIMIT_REACHED;
    }
    auto * const next = reinterpret_cast<CUpti_Activity *>(buffer + offset);
    const auto   size = fake->sizes.find(next->kind);
    if (size == fake->sizes.end() || offset + size->second > size_bytes) {
        return CUPTI_ERROR_INVALID_KIND;
    }
    *record = next;
    return CUPTI_SUCCESS;
}

CUptiResult CUPTIAPI get_n_dropped(CUcontext, uint32_t, size_t * n) {
    *n              = fake->n_dropped;
    fake->n_dropped = 0;
    return answer("cuptiActivityGetNumDroppedRecords");
}

CUptiResult CUPTIAPI push(CUpti_ExternalCorrelationKind, uint64_t id) {
    const CUptiResult result = answer("cuptiActivityPushExternalCorrelationId");
    if (result == CUPTI_SUCCESS) {
        fake->pushed.push_back(id);
        fake->all_pushed.push_back(id);
    }
    return result;
}

CUptiResult CUPTIAPI pop(CUpti_ExternalCorrelationKind, uint64_t * last) {
    if (fake->pushed.empty()) {
        return CUPTI_ERROR_QUEUE_EMPTY;
    }
    *last = fake->pushed.back();
    fake->pushed.pop_back();
    return CUPTI_SUCCESS;
}

// A handle's number is its id.
CUptiResult CUPTIAPI get_graph_id(CUgraph graph, uint32_t * id) {
    *id = static_cast<uint32_t>(number_of(graph));
    return answer("cuptiGetGraphId");
}

CUptiResult CUPTIAPI get_exec_id(CUgraphExec exec, uint32_t * id) {
    *id = static_cast<uint32_t>(number_of(exec));
    return answer("cuptiGetGraphExecId");
}

CUptiResult CUPTIAPI get_node_id(CUgraphNode node, uint64_t * id) {
    *id = number_of(node);
    return answer("cuptiGetGraphNodeId");
}

}  // namespace

FakeCupti::FakeCupti() {
    fake  = this;
    sizes = {
        { CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, sizeof(FakeKernel) },
        { CUPTI_ACTIVITY_KIND_KERNEL, sizeof(FakeKernel) },
        { CUPTI_ACTIVITY_KIND_MEMCPY, sizeof(FakeCopy) },
        { CUPTI_ACTIVITY_KIND_MEMCPY2, sizeof(CUpti_ActivityMemcpyPtoP4) },
        { CUPTI_ACTIVITY_KIND_MEMSET, sizeof(FakeFill) },
        { CUPTI_ACTIVITY_KIND_RUNTIME, sizeof(CUpti_ActivityAPI) },
        { CUPTI_ACTIVITY_KIND_DRIVER, sizeof(CUpti_ActivityAPI) },
        { CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION, sizeof(CUpti_ActivityExternalCorrelation) },
        { CUPTI_ACTIVITY_KIND_GRAPH_TRACE, sizeof(CUpti_ActivityGraphTrace) },
        { CUPTI_ACTIVITY_KIND_NAME, sizeof(CUpti_ActivityName) },
    };
}

CuptiApi FakeCupti::api() {
    CuptiApi table;
    table.cuptiGetVersion                         = get_version;
    table.cuptiGetResultString                    = get_result_string;
    table.cuptiGetTimestamp                       = get_timestamp;
    table.cuptiSubscribe                          = subscribe;
    table.cuptiUnsubscribe                        = unsubscribe;
    table.cuptiEnableCallback                     = enable_callback;
    table.cuptiActivityRegisterCallbacks          = register_callbacks;
    table.cuptiActivityEnable                     = enable;
    table.cuptiActivityDisable                    = disable;
    table.cuptiActivityFlushAll                   = flush;
    table.cuptiActivityGetNextRecord              = get_next_record;
    table.cuptiActivityGetNumDroppedRecords       = get_n_dropped;
    table.cuptiActivityPushExternalCorrelationId  = push;
    table.cuptiActivityPopExternalCorrelationId   = pop;
    table.cuptiGetGraphId                         = get_graph_id;
    table.cuptiGetGraphExecId                     = get_exec_id;
    table.cuptiGetGraphNodeId                     = get_node_id;
    table.version                                 = version;
    return table;
}

void FakeCupti::graph_callback(CUpti_CallbackId id, const CUpti_GraphData & data) const {
    CUpti_GraphData    copy = data;
    CUpti_ResourceData resource{};
    resource.resourceDescriptor = &copy;
    if (is_subscribed && callbacks.count({ CUPTI_CB_DOMAIN_RESOURCE, id }) > 0) {
        callback(callee, CUPTI_CB_DOMAIN_RESOURCE, id, &resource);
    }
}

void FakeCupti::launch_callback(const char * symbol, CUpti_ApiCallbackSite site) const {
    constexpr auto     id = CUPTI_RUNTIME_TRACE_CBID_cudaLaunchKernel_v7000;
    CUpti_CallbackData data{};
    data.callbackSite = site;
    data.symbolName   = symbol;
    if (is_subscribed && callbacks.count({ CUPTI_CB_DOMAIN_RUNTIME_API, id }) > 0) {
        callback(callee, CUPTI_CB_DOMAIN_RUNTIME_API, id, &data);
    }
}

bool FakeCupti::deliver(const RecordBuffer & records) const {
    uint8_t * buffer = nullptr;
    size_t    size = 0, n = 1;
    request(&buffer, &size, &n);
    if (buffer == nullptr || size < records.bytes().size()) {
        return false;
    }
    std::memcpy(buffer, records.bytes().data(), records.bytes().size());
    complete(nullptr, 0, buffer, size, records.bytes().size());
    return true;
}

}  // namespace slmprof::test
