// CUPTI's functions as a table: of the loaded library, or of a test. Needs CUPTI's headers, of CUDA 12.0
// or later.

#pragma once

#include "cuda/cupti_library.h"

// Not cupti.h, which includes every CUDA function's parameters and so needs CUDA's headers of its version.
#include <cupti_activity.h>
#include <cupti_callbacks.h>
#include <cupti_driver_cbid.h>
#include <cupti_result.h>
#include <cupti_runtime_cbid.h>
#include <cupti_version.h>

#include <cstdint>

static_assert(CUPTI_API_VERSION >= 19, "CUPTI's headers are older than CUDA 12.0");

// Whether the records tell what a replayed node was last updated from.
#define SLMPROF_CUPTI_TELLS_SOURCES (CUPTI_API_VERSION >= 130400)

namespace slmprof {

// Whose ids IssueLog's are. Other kinds are other libraries'.
constexpr CUpti_ExternalCorrelationKind k_external_kind = CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0;

#define SLMPROF_CUPTI_FUNCTIONS(FUNCTION)                                                             \
    FUNCTION(cuptiGetVersion) FUNCTION(cuptiGetResultString) FUNCTION(cuptiGetTimestamp)              \
    FUNCTION(cuptiSubscribe) FUNCTION(cuptiUnsubscribe) FUNCTION(cuptiEnableCallback)                 \
    FUNCTION(cuptiActivityRegisterCallbacks) FUNCTION(cuptiActivityEnable)                            \
    FUNCTION(cuptiActivityDisable) FUNCTION(cuptiActivityFlushAll)                                    \
    FUNCTION(cuptiActivityGetNextRecord) FUNCTION(cuptiActivityGetNumDroppedRecords)                  \
    FUNCTION(cuptiActivityPushExternalCorrelationId) FUNCTION(cuptiActivityPopExternalCorrelationId)  \
    FUNCTION(cuptiGetGraphId) FUNCTION(cuptiGetGraphExecId) FUNCTION(cuptiGetGraphNodeId)

struct CuptiApi {
#define SLMPROF_POINTER(name) decltype(&::name) name = nullptr;
    SLMPROF_CUPTI_FUNCTIONS(SLMPROF_POINTER)
#undef SLMPROF_POINTER
    uint32_t version = 0;  // of the library, which need not be that of the headers

    // Throws CuptiFailure where a call did not succeed, saying why and what to do.
    void check(CUptiResult result, const char * call) const;
};

// Throws CuptiFailure where the library lacks a function, is older than CUDA 12.0, or needs a newer driver;
// `driver_version` is cuDriverGetVersion's, 0 where it is not known.
CuptiApi load_cupti(const CuptiLibrary & library, int driver_version);

// The same for a table that is filled already.
void check_versions(CuptiApi & api, int driver_version);

}  // namespace slmprof
