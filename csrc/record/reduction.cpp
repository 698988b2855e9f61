#include "record/reduction.h"

#include <algorithm>
#include <utility>

namespace slmprof {

void Reducer::add(const RunEvents & run, RoutingCursor & routing) {
    // Each lane executes the ops in the order of their nodes, but may lack some: the next op is the
    // smallest node that any lane is at.
    std::vector<LaneEvents> rest = run.lanes;
    const auto node_of = [](const LaneEvents & lane) { return lane.first != lane.last ? lane.first->node() : UINT32_MAX; };
    while (true) {
        uint32_t node = UINT32_MAX;
        for (const LaneEvents & lane : rest) {
            node = std::min(node, node_of(lane));
        }
        if (node == UINT32_MAX) {
            return;
        }
        const bool    has_lead  = node_of(rest.front()) == node;
        const int32_t n_experts = has_lead && run.record->device < 0 ? routing.experts_of(*rest.front().first) : 0;
        parts_.clear();
        for (LaneEvents & lane : rest) {
            if (node_of(lane) == node) {
                const OpEvent & event = *lane.first++;
                Part            part{ &event, scale_.to_ns(event.begin_ticks), scale_.to_ns(event.end_ticks), run.end_ns, 0, 0 };
                if (run.record->device >= 0) {
                    // It waits for nobody; what an empty graph takes is not the op's.
                    part.end   = std::max(part.begin, part.end - scale_.duration_ns(run.record->empty_ticks));
                    part.until = part.end;
                } else if (lane.first != lane.last) {
                    part.until = scale_.to_ns(lane.first->begin_ticks);
                }
                if (event.converts()) {
                    part.convert = scale_.duration_ns(event.convert_ticks);
                    part.resume  = scale_.duration_ns(event.resume_ticks);
                }
                parts_.push_back(part);
            }
        }
        reduce(run, has_lead, n_experts);
    }
}

void Reducer::reduce(const RunEvents & run, bool has_lead, int32_t n_experts) {
    const Part &  lead = parts_.front();
    const int64_t span = has_lead ? std::max<int64_t>(lead.until - lead.begin, 0) : 0;

    // Unless they told, all threads go on after the conversion when the last one has done its share.
    int64_t passed = 0;
    for (const Part & part : parts_) {
        if (part.convert > 0) {
            passed = std::max(passed, part.begin + part.convert);
        }
    }
    const auto passed_by = [&](const Part & part) { return part.resume > 0 ? part.begin + part.resume : passed; };
    const int64_t converted = std::clamp<int64_t>(passed_by(lead) - lead.begin, 0, span);

    Times op{ span - converted }, conversion{ converted };
    for (const Part & part : parts_) {
        int64_t from = part.begin;
        if (part.convert > 0) {
            from = std::clamp(passed_by(part), part.begin, part.end);
            conversion.compute += part.convert;
            conversion.slowest = std::max(conversion.slowest, part.convert);
            conversion.wait += std::max<int64_t>(from - part.begin - part.convert, 0);
        }
        op.compute += part.end - from;
        op.slowest = std::max(op.slowest, part.end - from);
        // A thread may read the clock behind the last barrier after the first one has ended the run.
        op.wait += std::max<int64_t>(part.until - part.end, 0);
    }
    op.n_lanes = conversion.n_lanes = static_cast<int>(parts_.size());

    // A thread that had no share of the work may not have come to the place that tells.
    const auto told = std::find_if(parts_.begin(), parts_.end(), [](const Part & part) { return part.event->path != 0; });
    const uint32_t path = told != parts_.end() ? told->event->path : 0;
    const RunRecord & record = *run.record;
    Key               key{ static_cast<uint8_t>(record.phase), 0, static_cast<uint16_t>(lead.event->n_fused()), record.depth,
             record.graph, record.lane, record.first_node + static_cast<int32_t>(lead.event->node()), texts_.path(path) };
    add_row(key, op, n_experts);
    if (converted > 0) {
        key.stage = 1;
        key.path  = texts_.conversion(path);
        add_row(key, conversion, n_experts);
    }
}

void Reducer::add_kernel(const RunRecord & run, const NodeKernel & kernel, int64_t span_ns) {
    const int64_t duration_ns = kernel.end_ns - kernel.begin_ns;
    add_row({ static_cast<uint8_t>(run.phase), 0, kernel.n_fused, run.depth, run.graph, run.lane, run.first_node + kernel.node,
              kernel.name },
            { span_ns, duration_ns, duration_ns, 0, 1 }, 0);
}

void Reducer::add_row(const Key & key, const Times & times, int32_t n_experts) {
    const auto [entry, is_new] = rows_.try_emplace(key, stats_.n_rows);
    if (is_new) {
        StatColumns::Row row;
        row.phase       = key.phase;
        row.depth       = key.depth;
        row.graph       = key.graph;
        row.lane        = key.lane;
        row.node        = key.node;
        row.n_fused     = key.n_fused;
        row.stage       = key.stage;
        row.path        = key.path;
        row.span_min_ns = INT64_MAX;
        stats_.append(row);
    }
    const size_t r = entry->second;
    const auto   n = static_cast<double>(times.n_lanes);
    stats_.calls[r] += 1;
    stats_.span_sum_ns[r] += times.span;
    stats_.span_min_ns[r] = std::min(stats_.span_min_ns[r], times.span);
    stats_.span_max_ns[r] = std::max(stats_.span_max_ns[r], times.span);
    stats_.span_sq_sum[r] += static_cast<double>(times.span) * static_cast<double>(times.span);
    stats_.compute_sum_ns[r] += static_cast<double>(times.compute) / n;
    stats_.compute_max_sum_ns[r] += static_cast<double>(times.slowest);
    stats_.wait_sum_ns[r] += static_cast<double>(times.wait) / n;
    stats_.n_experts_sum[r] += n_experts;
}

StatColumns Reducer::take() {
    rows_.clear();
    return std::exchange(stats_, {});
}

}  // namespace slmprof
