// The events of runs, reduced to one row for each op: what `stats` holds. analysis/timing/spans.py does
// the same to stored events; tests/native holds the two against each other.

#pragma once

#include "record/clock.h"
#include "record/kernel_tracer.h"
#include "record/path_names.h"
#include "record/records.h"

#include <functional>
#include <string_view>
#include <type_traits>

namespace slmprof {

// The events of one run on one lane, in the order of their nodes.
struct LaneEvents {
    const OpEvent * first = nullptr;
    const OpEvent * last  = nullptr;
};

// One run on all its lanes.
struct RunEvents {
    const RunRecord *       record = nullptr;
    int64_t                 end_ns = 0;
    std::vector<LaneEvents> lanes;
};

// What the events of the first lane have routed; asked in their order.
class RoutingCursor {
  public:
    // `routings` end with one that no event reaches.
    RoutingCursor(const OpEvent * first, const std::vector<RoutingRecord> & routings)
        : first_(first), next_(routings.data()) {}

    // Those of dropped events lead nowhere.
    int32_t experts_of(const OpEvent & event) {
        const auto number = static_cast<uint32_t>(&event - first_);
        while (next_->event < number) {
            next_++;
        }
        return next_->event == number ? static_cast<int32_t>(next_->n_experts) : 0;
    }

  private:
    const OpEvent *       first_;
    const RoutingRecord * next_;
};

class Reducer {
  public:
    Reducer(PathTexts & texts, const TickScale & scale) : texts_(texts), scale_(scale) {}

    void add(const RunEvents & run, RoutingCursor & routing);

    // A kernel of a traced device, which has `span_ns` for itself.
    void add_kernel(const RunRecord & run, const NodeKernel & kernel, int64_t span_ns);

    // The rows since the last call.
    StatColumns take();

    const StatColumns & stats() const { return stats_; }

  private:
    // What tells the rows apart.
    struct Key {
        uint8_t  phase, stage;
        uint16_t n_fused;
        int32_t  depth, graph, lane, node, path;
        std::string_view bytes() const { return { reinterpret_cast<const char *>(this), sizeof(*this) }; }
        bool operator==(const Key & other) const { return bytes() == other.bytes(); }
    };
    static_assert(std::has_unique_object_representations_v<Key>);
    struct KeyHash {
        size_t operator()(const Key & key) const { return std::hash<std::string_view>()(key.bytes()); }
    };

    // Times of one op or of its conversion over all lanes that have it, in nanoseconds.
    struct Times {
        int64_t span = 0, compute = 0, slowest = 0, wait = 0;
        int     n_lanes = 0;
    };

    // One lane's part in the op that is being reduced.
    struct Part {
        const OpEvent * event;
        int64_t         begin, end, until;  // until it begins the next op, or the run ends
        int64_t         convert, resume;    // from the begin on; 0: nothing, and not told
    };

    void reduce(const RunEvents & run, bool has_lead, int32_t n_experts);
    void add_row(const Key & key, const Times & times, int32_t n_experts);

    PathTexts &                              texts_;
    const TickScale &                        scale_;
    std::vector<Part>                        parts_;
    std::unordered_map<Key, size_t, KeyHash> rows_;
    StatColumns                              stats_;
};

}  // namespace slmprof
