#include "cuda/pool_hooks.h"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

// As far as the hooks know ggml.
struct ggml_tensor {
    const char * op, *name;
};

using namespace slmprof;

namespace {

const char * ggml_op_desc(const ggml_tensor * tensor) { return tensor->op; }
const char * ggml_get_name(const ggml_tensor * tensor) { return tensor->name; }

const ggml_tensor k_product{ "MUL_MAT", "ffn_down-3" };
const ggml_tensor k_scores{ "SOFT_MAX", "kq_soft_max-0" };

// What stands for a context of ggml-cuda.
struct Context {
    int          device                     = 1;
    const void * cublas_workspaces[2][3]    = {};
    size_t       cublas_workspace_sizes[2]  = {};
};

int first_pool, second_pool;

void use_pool(const void * pool, int device) {
    SLMPROF_POOL_RESERVED(pool, device, 100);
    SLMPROF_POOL_TAKEN(pool, device, 60);
    SLMPROF_POOL_GIVEN(pool, device, 60);
}

}  // namespace

TEST_SUITE_BEGIN("cuda pools");

TEST_CASE("nothing is told while nobody watches, and one watches at a time") {
    use_pool(&first_pool, 0);
    PoolWatch watch;
    CHECK(watch.uses().empty());
    watch.observe();
    watch.observe();
    PoolWatch other;
    CHECK_THROWS_AS(other.observe(), std::logic_error);
    use_pool(&first_pool, 0);
    REQUIRE(watch.uses().size() == 1);
    watch.ignore();
    use_pool(&second_pool, 2);
    CHECK(watch.uses().size() == 1);
    CHECK(other.uses().empty());
    {
        PoolWatch third;
        third.observe();
    }
    use_pool(&first_pool, 0);  // it is gone, and so is the way to it
}

TEST_CASE("the op that raised the most is named, and no later one that needs as much") {
    PoolWatch watch;
    watch.observe();
    SLMPROF_POOL_NODE(&k_scores);
    SLMPROF_POOL_RESERVED(&first_pool, 0, 200);
    SLMPROF_POOL_TAKEN(&first_pool, 0, 50);
    SLMPROF_POOL_GIVEN(&first_pool, 0, 50);
    SLMPROF_POOL_NODE(&k_product);
    SLMPROF_POOL_TAKEN(&first_pool, 0, 80);
    SLMPROF_POOL_TAKEN(&first_pool, 0, 70);
    SLMPROF_POOL_GIVEN(&first_pool, 0, 70);
    SLMPROF_POOL_GIVEN(&first_pool, 0, 80);
    SLMPROF_POOL_NODE(&k_scores);
    SLMPROF_POOL_TAKEN(&first_pool, 0, 150);
    const PoolUse use = watch.uses().at(0);
    CHECK(use.used_bytes == 150);
    CHECK(use.most_used_bytes == 150);
    CHECK(use.reserved_bytes == 200);
    CHECK(use.op == "MUL_MAT");
    CHECK(use.tensor == "ffn_down-3");
}

TEST_CASE("what is taken between graphs is no op's") {
    PoolWatch watch;
    watch.observe();
    SLMPROF_POOL_NODE(&k_product);
    SLMPROF_POOL_TAKEN(&first_pool, 0, 10);
    CHECK(watch.uses().at(0).op == "MUL_MAT");
    SLMPROF_POOL_GRAPH_END();
    SLMPROF_POOL_TAKEN(&first_pool, 0, 10);
    CHECK(watch.uses().at(0).most_used_bytes == 20);
    CHECK(watch.uses().at(0).op.empty());
}

TEST_CASE("pools of one device add up, and those of others are apart") {
    PoolWatch watch;
    watch.observe();
    SLMPROF_POOL_RESERVED(&first_pool, 0, 100);
    SLMPROF_POOL_RESERVED(&second_pool, 0, 40);
    SLMPROF_POOL_RESERVED(&watch, 3, 7);
    SLMPROF_POOL_RESERVED(&first_pool, 0, 130);
    REQUIRE(watch.uses().size() == 2);
    CHECK(watch.uses().at(0).reserved_bytes == 170);
    CHECK(watch.uses().at(1).device == 3);
    CHECK(watch.uses().at(1).reserved_bytes == 7);
    // One is gone with what it had handed out, and another is made at its place.
    SLMPROF_POOL_TAKEN(&first_pool, 0, 90);
    SLMPROF_POOL_RESERVED(&first_pool, 0, 0);
    CHECK(watch.uses().at(0).reserved_bytes == 40);
    CHECK(watch.uses().at(0).most_reserved_bytes == 170);
    CHECK(watch.uses().at(0).used_bytes == 0);
    SLMPROF_POOL_RESERVED(&first_pool, 0, 10);
    CHECK(watch.uses().at(0).reserved_bytes == 50);
}

TEST_CASE("what was handed out before the watch began does not make less than nothing") {
    PoolWatch watch;
    watch.observe();
    SLMPROF_POOL_TAKEN(&second_pool, 0, 5);
    SLMPROF_POOL_GIVEN(&first_pool, 0, 1000);
    CHECK(watch.uses().at(0).used_bytes == 5);
}

TEST_CASE("workspaces are those of the streams that have a handle") {
    PoolWatch watch;
    watch.observe();
    Context context, other;
    SLMPROF_POOL_WORKSPACES(&context);
    CHECK(watch.uses().at(0).workspace_bytes == 0);
    context.cublas_workspaces[1][0] = context.cublas_workspaces[1][2] = &context;
    context.cublas_workspace_sizes[1]                                 = 4096;
    other.cublas_workspaces[1][1]                                     = &other;
    other.cublas_workspace_sizes[1]                                   = 4096;
    SLMPROF_POOL_WORKSPACES(&context);
    SLMPROF_POOL_WORKSPACES(&other);
    SLMPROF_POOL_WORKSPACES(&context);
    CHECK(watch.uses().at(0).device == 1);
    CHECK(watch.uses().at(0).workspace_bytes == 3 * 4096);
    SLMPROF_IF_WATCHED(set_workspaces(&context, 1, 0));
    CHECK(watch.uses().at(0).workspace_bytes == 4096);
}

TEST_SUITE_END();
