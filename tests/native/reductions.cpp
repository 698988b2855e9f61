// The same script through the recorder in both modes. tests/native/test_reduction.py writes the
// scripts, reduces the events in Python and compares.
//
//     THREADS CAPACITY IS_EXACT NS_PER_TICK
//     run GRAPH PHASE DEPTH BEGIN N_THREADS
//     op LANE NODE N_FUSED PATH BEGIN END IS_LAST CONVERT RESUME N_EXPERTS
//     end TICKS
//     collect

#include "script.h"
#include "table_json.h"

#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>

namespace slmprof::test {

namespace {

Recording record(const std::string & script, EventMode mode) {
    std::istringstream lines(script);
    int                n_threads = 0, is_exact = 0;
    size_t             capacity    = 0;
    double             ns_per_tick = 1.0;
    lines >> n_threads >> capacity >> is_exact >> ns_per_tick;
    set_ns_per_tick(ns_per_tick);
    const Graph graphs[] = { Graph("first"), Graph("second") };
    Recorder    recorder(n_threads, capacity, is_exact != 0);
    int         phase = 0, depth = 0, n_running = 0;
    for (std::string word; lines >> word;) {
        if (word == "run") {
            size_t   graph = 0;
            uint64_t begin = 0;
            lines >> graph >> phase >> depth >> begin >> n_running;
            begin_run(recorder, graphs[graph], n_running, begin, static_cast<Phase>(phase), depth);
        } else if (word == "op") {
            Op op;
            lines >> op.lane >> op.node >> op.n_fused >> op.path >> op.begin >> op.end >> op.is_last >> op.convert >>
                op.resume >> op.n_experts;
            play(op, n_running);
        } else if (word == "end") {
            uint64_t end = 0;
            lines >> end;
            end_run(recorder, end, static_cast<Phase>(phase), depth);
        } else if (word == "collect") {
            recorder.collect(mode);
        }
        if (!lines) {
            throw std::runtime_error("a line of the script cannot be read after " + word);
        }
    }
    return recorder.take();
}

void print(const Recording & recording) {
    recording.visit([](const char * name, const auto & table) {
        std::cout << "\"" << name << "\":" << table_json(table) << ",";
    });
    std::string strings;
    for (const std::string & string : recording.strings) {
        strings += (strings.empty() ? "\"" : ",\"") + string + "\"";
    }
    std::cout << "\"strings\":[" << strings << "]";
}

}  // namespace

int print_reductions() {
    const std::string script(std::istreambuf_iterator<char>(std::cin), {});
    std::cout << "{\"all\":{";
    print(record(script, EventMode::all));
    std::cout << "},\"aggregate\":{";
    print(record(script, EventMode::aggregate));
    std::cout << "}}\n";
    return 0;
}

}  // namespace slmprof::test
