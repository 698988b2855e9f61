// A table of functions in place of CUPTI's library, which a test tells what to answer and what to call back.
// Needs CUPTI's headers.

#pragma once

#include "cuda/cupti_api.h"

#include <cstdint>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace slmprof::test {

// Handles of CUDA's, which are only ever compared and handed back.
template <typename Handle> Handle handle_of(uint64_t number) { return reinterpret_cast<Handle>(number); }
template <typename Handle> uint64_t number_of(Handle handle) { return reinterpret_cast<uint64_t>(handle); }

// The records that a library of the headers' version writes.
#if SLMPROF_CUPTI_TELLS_SOURCES
using FakeKernel = CUpti_ActivityKernel13;
using FakeCopy   = CUpti_ActivityMemcpy7;
using FakeFill   = CUpti_ActivityMemset5;
#else
using FakeKernel = CUpti_ActivityKernel9;
using FakeCopy   = CUpti_ActivityMemcpy5;
using FakeFill   = CUpti_ActivityMemset4;
#endif

// A buffer with records one after the other, as CUPTI writes them.
class RecordBuffer {
  public:
    template <typename Record> void add(const Record & record) {
        const auto * first = reinterpret_cast<const uint8_t *>(&record);
        bytes_.insert(bytes_.end(), first, first + sizeof(Record));
    }
    const std::vector<uint8_t> & bytes() const { return bytes_; }

  private:
    std::vector<uint8_t> bytes_;
};

struct FakeCupti {
    FakeCupti();
    CuptiApi api();

    // A record's size by its kind, with which the walk goes on; kinds that are not in it are broken.
    std::map<CUpti_ActivityKind, size_t> sizes;

    // What each function answers that is not to succeed.
    std::map<std::string, CUptiResult> results;
    uint32_t                           version = CUPTI_API_VERSION;

    // What was asked for.
    CUpti_CallbackFunc                callback      = nullptr;
    void *                            callee        = nullptr;
    CUpti_BuffersCallbackRequestFunc  request       = nullptr;
    CUpti_BuffersCallbackCompleteFunc complete      = nullptr;
    bool                              is_subscribed = false;
    std::set<CUpti_ActivityKind>      kinds;
    std::vector<uint64_t>             pushed;  // on the stack now
    std::vector<uint64_t>             all_pushed;
    std::vector<uint32_t>             flushes;
    size_t                            n_dropped = 0;
    uint64_t                          now_ns    = 5000;
    std::set<std::pair<CUpti_CallbackDomain, CUpti_CallbackId>> callbacks;

    // What CUPTI does.
    void graph_callback(CUpti_CallbackId id, const CUpti_GraphData & data) const;
    void launch_callback(const char * symbol, CUpti_ApiCallbackSite site = CUPTI_API_ENTER) const;
    bool deliver(const RecordBuffer & records) const;  // false where it gets no buffer
};

}  // namespace slmprof::test
