// What the definition of docs/measurement.md gives, by hand. test_reduction.py holds the reducer against
// the one in Python.

#include "script.h"

#include "record/path_names.h"

#include <doctest/doctest.h>

#include <vector>

using namespace slmprof;
using namespace slmprof::test;

namespace {

OpEvent event(uint32_t node, uint64_t begin, uint64_t end, uint32_t convert = 0, uint32_t resume = 0) {
    OpEvent made{};
    made.begin_ticks   = begin;
    made.end_ticks     = end;
    made.convert_ticks = convert;
    made.resume_ticks  = resume;
    made.place = slmprof_place(static_cast<int>(node), 0, 0);
    return made;
}

// The statistics of one run that ends after 1000 ns.
StatColumns reduce(const std::vector<std::vector<OpEvent>> & lanes) {
    set_ns_per_tick(1.0);
    StringTable strings;
    PathTexts   texts(strings);
    Reducer     reducer(texts, tick_scale());
    RunRecord   record{};
    RunEvents   run;
    run.record = &record;
    run.end_ns = 1000;
    for (const std::vector<OpEvent> & events : lanes) {
        run.lanes.push_back({ events.data(), events.data() + events.size() });
    }
    const std::vector<RoutingRecord> no_routings = { { UINT32_MAX, 0 } };
    RoutingCursor                    routing(lanes[0].data(), no_routings);
    reducer.add(run, routing);
    return reducer.take();
}

using Figures = std::vector<double>;

}  // namespace

TEST_SUITE_BEGIN("reducer");

TEST_CASE("compute and wait are means over the lanes, the span is the leading lane's") {
    const StatColumns stats = reduce({ { event(0, 100, 180), event(1, 200, 900) }, { event(0, 110, 150), event(1, 210, 990) } });
    CHECK(stats.node == std::vector<int32_t>{ 0, 1 });
    CHECK(stats.span_sum_ns == std::vector<int64_t>{ 100, 800 });
    CHECK(stats.compute_sum_ns == Figures{ 60, 740 });
    CHECK(stats.compute_max_sum_ns == Figures{ 80, 780 });
    CHECK(stats.wait_sum_ns == Figures{ 40, 55 });
}

TEST_CASE("a lane without an event says nothing about the op") {
    // Lane 1 lacks the op in the middle, lane 0 the last one.
    const StatColumns stats =
        reduce({ { event(0, 100, 180), event(1, 200, 300) }, { event(0, 110, 150), event(2, 500, 600) } });
    CHECK(stats.node == std::vector<int32_t>{ 0, 1, 2 });
    CHECK(stats.calls == std::vector<int64_t>{ 1, 1, 1 });
    CHECK(stats.span_sum_ns == std::vector<int64_t>{ 100, 800, 0 });
    CHECK(stats.compute_sum_ns == Figures{ 60, 100, 100 });
    CHECK(stats.wait_sum_ns == Figures{ (20 + 350) / 2.0, 700, 400 });
}

TEST_CASE("a conversion is a row of its own, and takes nothing from the whole") {
    const StatColumns stats = reduce({ { event(0, 100, 200, 20) }, { event(0, 110, 300, 40) } });
    CHECK(stats.stage == std::vector<uint8_t>{ 0, 1 });
    CHECK(stats.span_sum_ns == std::vector<int64_t>{ 850, 50 });  // lane 1 has converted at 150
    CHECK(stats.compute_sum_ns == Figures{ 100, 30 });
    CHECK(stats.wait_sum_ns == Figures{ 750, 15 });
    CHECK(stats.compute_max_sum_ns == Figures{ 150, 40 });
}

TEST_CASE("a thread that tells when it went on is believed") {
    const StatColumns stats = reduce({ { event(0, 100, 200, 20, 60) }, { event(0, 110, 300, 40, 40) } });
    CHECK(stats.span_sum_ns == std::vector<int64_t>{ 840, 60 });
    CHECK(stats.compute_sum_ns == Figures{ 95, 30 });
    CHECK(stats.wait_sum_ns == Figures{ 750, 20 });
}

TEST_SUITE_END();
