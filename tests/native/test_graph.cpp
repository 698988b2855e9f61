#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "record/cpu_lanes.h"
#include "record/graph.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <memory>
#include <vector>

using namespace slmprof;

namespace {

struct Tensors {
    ggml_context * context;
    ggml_tensor *  weight;
    ggml_tensor *  input;
    ggml_tensor *  output;
};

using Context = std::unique_ptr<ggml_context, void (*)(ggml_context *)>;

// A product and a sum without data; `change` works on the tensors before they are a graph.
struct Built {
    Context       context{ ggml_init({ 1 << 20, nullptr, true }), ggml_free };
    ggml_cgraph * graph = ggml_new_graph(context.get());

    explicit Built(const std::function<void(Tensors &)> & change = [](Tensors &) {}, int64_t n_tokens = 4,
                   ggml_type type = GGML_TYPE_F32) {
        Tensors t{};
        t.context = context.get();
        t.weight  = ggml_new_tensor_2d(t.context, type, 32, 16);
        t.input   = ggml_new_tensor_2d(t.context, GGML_TYPE_F32, 32, n_tokens);
        ggml_set_name(t.weight, "blk.0.weight");
        ggml_set_name(t.input, "input");
        t.output = ggml_mul_mat(t.context, t.weight, t.input);
        ggml_set_name(t.output, "product");
        change(t);
        ggml_build_forward_expand(graph, t.output);
    }
};

// Which of two distinct graphs, first seen in this order, a third one is.
struct Registry {
    StringTable   strings;
    GraphRegistry graphs{ strings };

    int32_t find(ggml_cgraph * graph) {
        graphs.forget_addresses();
        return graphs.find_or_copy(Schedule(graph));
    }
};

}  // namespace

TEST_SUITE_BEGIN("graph");

TEST_CASE("a graph that is built anew is the same graph") {
    Registry registry;
    CHECK(registry.find(Built().graph) == 0);
    CHECK(registry.find(Built().graph) == 0);
}

TEST_CASE("each change that matters makes another graph") {
    Registry registry;
    REQUIRE(registry.find(Built().graph) == 0);
    const auto nothing = [](Tensors &) {};
    SUBCASE("shape") { CHECK(registry.find(Built(nothing, 5).graph) == 1); }
    SUBCASE("type") { CHECK(registry.find(Built(nothing, 4, GGML_TYPE_F16).graph) == 1); }
    SUBCASE("name") {
        CHECK(registry.find(Built([](Tensors & t) { ggml_set_name(t.output, "other"); }).graph) == 1);
    }
    SUBCASE("name of a source") {
        CHECK(registry.find(Built([](Tensors & t) { ggml_set_name(t.weight, "blk.1.weight"); }).graph) == 1);
    }
    SUBCASE("operator") {
        CHECK(registry.find(Built([](Tensors & t) { t.output->op = GGML_OP_OUT_PROD; }).graph) == 1);
    }
    SUBCASE("stride") { CHECK(registry.find(Built([](Tensors & t) { t.input->nb[1] *= 2; }).graph) == 1); }
    SUBCASE("flag") { CHECK(registry.find(Built([](Tensors & t) { ggml_set_output(t.output); }).graph) == 1); }
    SUBCASE("one more node") {
        CHECK(registry.find(Built([](Tensors & t) {
                                t.output = ggml_sqr(t.context, t.output);
                                ggml_set_name(t.output, "square");
                            }).graph) == 1);
    }
    SUBCASE("the order of the sources") {
        CHECK(registry.find(Built([](Tensors & t) { std::swap(t.output->src[0], t.output->src[1]); }).graph) == 1);
    }
}

TEST_CASE("an address is believed until graphs may have been rebuilt") {
    Registry registry;
    Built    built;
    CHECK(registry.graphs.find_known(Schedule(built.graph)) == -1);
    CHECK(registry.graphs.find_or_copy(Schedule(built.graph)) == 0);
    CHECK(registry.graphs.find_known(Schedule(built.graph)) == 0);
    registry.graphs.forget_addresses();
    CHECK(registry.graphs.find_known(Schedule(built.graph)) == -1);
}

TEST_CASE("a graph is copied as nodes, then the leaves that they read or view") {
    Registry registry;
    Built    built([](Tensors & t) {
        t.output = ggml_view_1d(t.context, t.output, 8, 16);
        ggml_set_name(t.output, "view");
    });
    registry.graphs.find_or_copy(Schedule(built.graph));
    GraphColumns  graphs;
    SplitColumns  splits;
    TensorColumns tensors;
    registry.graphs.take(graphs, splits, tensors);
    CHECK(graphs.n_nodes == std::vector<int32_t>{ 2 });
    CHECK(registry.strings.texts()[static_cast<size_t>(graphs.backend[0])] == cpu_device_name());
    CHECK(splits.n_nodes == graphs.n_nodes);
    std::vector<std::string> names;
    for (const int32_t name : tensors.name) {
        names.push_back(registry.strings.texts()[static_cast<size_t>(name)]);
    }
    CHECK(names == std::vector<std::string>{ "product", "view", "blk.0.weight", "input" });
    CHECK(tensors.node == std::vector<int32_t>{ 0, 1, -1, -1 });
    CHECK(tensors.src[0] == std::vector<int32_t>{ 2, 0, -1, -1 });
    CHECK(tensors.src[1] == std::vector<int32_t>{ 3, -1, -1, -1 });
    CHECK(tensors.view_src == std::vector<int32_t>{ -1, 0, -1, -1 });
    CHECK(tensors.view_offset == std::vector<int64_t>{ 0, 16, 0, 0 });
    CHECK(tensors.ne[1] == std::vector<int64_t>{ 4, 1, 16, 4 });
    CHECK(tensors.size_bytes == std::vector<int64_t>{ 16 * 4 * 4, 8 * 4, 32 * 16 * 4, 32 * 4 * 4 });
    CHECK(tensors.buffer == std::vector<int32_t>{ -1, -1, -1, -1 });

    registry.graphs.take(graphs, splits, tensors);
    CHECK(graphs.n_rows + splits.n_rows + tensors.n_rows == 0);
}

TEST_CASE("a mask is counted as pairs that it lets through and keys that any query sees") {
    constexpr float masked = -INFINITY;
    const Context   context(ggml_init({ 1 << 16, nullptr, false }), ggml_free);
    ggml_tensor *   mask   = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, 4, 2);
    const float     open[] = { 0, masked, masked, masked, 0, 0, masked, masked };
    std::copy(std::begin(open), std::end(open), static_cast<float *>(mask->data));
    std::vector<uint8_t> seen;
    CHECK(count_unmasked(mask, seen) == std::pair<int64_t, int64_t>{ 3, 2 });
}

TEST_CASE("an expert counts once, whichever tokens go to it") {
    const Context context(ggml_init({ 1 << 16, nullptr, false }), ggml_free);
    ggml_tensor * experts  = ggml_new_tensor_2d(context.get(), GGML_TYPE_I32, 2, 3);
    const int32_t chosen[] = { 5, 70, 5, 6, 70, 5 };
    std::copy(std::begin(chosen), std::end(chosen), static_cast<int32_t *>(experts->data));
    CHECK(count_experts(experts) == 3);
    static_cast<int32_t *>(experts->data)[0] = -1;  // no table of experts
    CHECK(count_experts(experts) == 0);
}

TEST_SUITE_END();
