// A script of what ggml-cuda's hooks, CUPTI's callbacks and its records tell, joined at each `collect`.
// tests/native/test_kernel_join.py writes the scripts, joins the launches again in Python and compares.
//
//     run GRAPH DEVICE IS_ABANDONED
//     issue NODE / end N_FUSED          a node that is captured
//     named NAME / node GRAPH LOCAL KIND / clone GRAPH LOCAL ORIGINAL LOCAL KIND
//     exec EXEC GRAPH / update EXEC GRAPH / cloned_graph GRAPH ORIGINAL
//     remove_graph GRAPH / remove_exec EXEC
//     direct NODE N_FUSED / replay EXEC GRAPH / unknown_call
//     kernel NAME EXEC GRAPH LOCAL SOURCE LOCAL
//     stream NUMBER / at BEGIN END      of the kernels to come; of the last kernel
//     collect

#include "cuda/device_activity.h"
#include "cuda/join_inputs.h"
#include "cuda_script.h"
#include "table_json.h"

#include <iostream>
#include <iterator>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>

namespace slmprof::test {

namespace {

class JoinScript {
  public:
    void play(std::istringstream & words) {
        for (std::string word; words >> word;) {
            if (word == "collect") {
                collect();
            } else {
                step(word, words);
            }
            if (!words) {
                throw std::runtime_error("a line of the script cannot be read after " + word);
            }
        }
    }

    std::string json() const { return "[" + collections_ + "]"; }

  private:
    static int64_t read(std::istringstream & words) {
        int64_t value = 0;
        words >> value;
        return value;
    }

    static uint32_t read_id(std::istringstream & words) { return static_cast<uint32_t>(read(words)); }

    static int32_t read_number(std::istringstream & words) { return static_cast<int32_t>(read(words)); }

    static NodeKind read_kind(std::istringstream & words) { return static_cast<NodeKind>(read(words)); }

    // Two halves; 0 and 0 is no node.
    static uint64_t read_node(std::istringstream & words) {
        const uint32_t graph = read_id(words);
        return node_id(graph, read_id(words));
    }

    void step(const std::string & word, std::istringstream & words) {
        GraphNodes & nodes = script_.nodes;
        if (word == "run") {
            const int32_t  graph  = read_number(words);
            const uint32_t device = read_id(words);
            const int32_t  run    = script_.begin_run(graph, device);
            if (read(words) == 0) {
                runs_.push_back({ { run, graph, 1, int64_t(1) << 40, true }, device });
            }
        } else if (word == "issue") {
            nodes.begin_issue(*script_.issues.find(script_.issues.begin(read_number(words))));
        } else if (word == "end") {
            const auto n_fused = static_cast<uint16_t>(read(words));
            script_.issues.end(n_fused);
            nodes.end_issue(n_fused);
        } else if (word == "named") {
            nodes.begin_launch(read_number(words));
        } else if (word == "node") {
            const uint64_t node = read_node(words);
            nodes.add_node(node, read_kind(words));
        } else if (word == "clone") {
            const uint64_t node = read_node(words), original = read_node(words);
            nodes.add_clone(node, original, read_kind(words));
        } else if (word == "exec") {
            const uint32_t exec = read_id(words);
            nodes.add_exec(exec, read_id(words));
        } else if (word == "update") {
            const uint32_t exec = read_id(words);
            nodes.update_exec(exec, read_id(words));
        } else if (word == "cloned_graph") {
            const uint32_t graph = read_id(words);
            nodes.add_cloned_graph(graph, read_id(words));
        } else if (word == "remove_graph") {
            nodes.remove_graph(read_id(words));
        } else if (word == "remove_exec") {
            nodes.remove_exec(read_id(words));
        } else {
            launch(word, words);
        }
    }

    void launch(const std::string & word, std::istringstream & words) {
        if (word == "direct") {
            correlation_ = script_.call(script_.issues.begin(read_number(words)));
            script_.issues.end(static_cast<uint16_t>(read(words)));
        } else if (word == "replay") {
            const uint32_t exec = read_id(words), graph = read_id(words);
            correlation_ = script_.call(script_.issues.begin_replay(script_.nodes.launch(exec, graph)));
        } else if (word == "unknown_call") {
            correlation_ = --unknown_;
        } else if (word == "kernel") {
            const int32_t  name = read_number(words);
            const uint32_t exec = read_id(words);
            const uint64_t node = read_node(words);
            script_.add_kernel(correlation_, name, exec, node, read_node(words));
        } else if (word == "stream") {
            script_.stream = read_id(words);
        } else if (word == "at") {
            script_.activity.kernels.back().begin_ns = read(words);
            script_.activity.kernels.back().end_ns   = read(words);
        } else {
            throw std::runtime_error("the script has a word that nobody knows: " + word);
        }
    }

    // As CuptiSession::join_and_forget and CudaTracer::collect.
    void collect() {
        Joined joined = script_.join();
        keep_inputs(script_.activity, script_.issues, script_.nodes, joined);
        const DeviceActivity made = sort_by_run(script_.activity, joined, runs_, {}, true);
        TraceColumns         traces;
        traces.append(made.summary);
        std::string tables = "\"n_runs\":" + std::to_string(runs_.size());
        const auto  add    = [&tables](const char * name, const auto & table) {
            tables += ",\"" + std::string(name) + "\":" + table_json(table);
        };
        add("launches", made.launches);
        add("stray_kernels", made.strays);
        add("traces", traces);
        add("captures", made.inputs.captures);
        add("captured_nodes", made.inputs.captured_nodes);
        add("cloned_nodes", made.inputs.cloned_nodes);
        add("graph_versions", made.inputs.graph_versions);
        add("issues", made.inputs.issues);
        collections_ += (collections_.empty() ? "{" : ",{") + tables + "}";
        script_.activity = {};
        script_.issues.clear();
        script_.nodes.forget_removed();
        runs_.clear();
    }

    CudaScript             script_;
    std::vector<DeviceRun> runs_;
    uint32_t               correlation_ = 0, unknown_ = UINT32_MAX;
    std::string            collections_;
};

}  // namespace

int print_joins() {
    std::istringstream words(std::string(std::istreambuf_iterator<char>(std::cin), {}));
    JoinScript         script;
    script.play(words);
    std::cout << script.json() << "\n";
    return 0;
}

}  // namespace slmprof::test
