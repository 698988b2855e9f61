#include "llama_api/parameters.h"

#include <doctest/doctest.h>

using namespace slmprof::llama_api;

namespace {

// As the fields stand in newer and in older versions.
enum LoadMode { LLAMA_LOAD_MODE_NONE = 0, LLAMA_LOAD_MODE_MMAP = 1, LLAMA_LOAD_MODE_MLOCK = 2 };

struct NewModelParams {
    LoadMode load_mode = LLAMA_LOAD_MODE_MLOCK;
};

struct OldModelParams {
    bool use_mmap = true, use_direct_io = true, use_mlock = true;
};

struct NewContextParams {
    uint32_t n_batch = 64, n_outputs_max = 0;
};

struct OldContextParams {
    uint32_t n_batch = 64;
};

struct NewQuantizeParams {
    size_t max_buf_size = 0;
};

struct NewCaps {
    bool mmap_support = false;
};

struct Old {};

enum NewDevice { GGML_BACKEND_DEVICE_TYPE_CPU, GGML_BACKEND_DEVICE_TYPE_META };

enum OldDevice { DEVICE_TYPE_CPU };

}  // namespace

TEST_SUITE_BEGIN("llama.cpp's versions");

TEST_CASE("a file is mapped or read, in the words of either version") {
    NewModelParams of_new;
    set_mapping(of_new, true);
    CHECK(of_new.load_mode == LLAMA_LOAD_MODE_MMAP);
    set_mapping(of_new, false);
    CHECK(of_new.load_mode == LLAMA_LOAD_MODE_NONE);
    for (const bool is_mapped : { true, false }) {
        OldModelParams of_old;
        set_mapping(of_old, is_mapped);
        CHECK(of_old.use_mmap == is_mapped);
        CHECK_FALSE(of_old.use_direct_io);
        CHECK_FALSE(of_old.use_mlock);
    }
}

TEST_CASE("where outputs have no limit, it is the batch") {
    NewContextParams of_new;
    set_outputs_max(of_new, 4);
    CHECK(outputs_max(of_new) == 4);
    OldContextParams of_old;
    set_outputs_max(of_old, 4);
    CHECK(outputs_max(of_old) == 64);
    CHECK(HasOutputsMax<NewContextParams>::value);
    CHECK_FALSE(HasOutputsMax<OldContextParams>::value);
}

TEST_CASE("what a version lacks is left alone") {
    NewQuantizeParams quantizer;
    set_buffer_limit(quantizer, 1000);
    CHECK(quantizer.max_buf_size == 1000);
    NewCaps caps;
    set_mmap_support(caps);
    CHECK(caps.mmap_support);
    Old old;
    set_buffer_limit(old, 1000);
    set_mmap_support(old);
    CHECK(is_meta(GGML_BACKEND_DEVICE_TYPE_META));
    CHECK_FALSE(is_meta(GGML_BACKEND_DEVICE_TYPE_CPU));
    CHECK_FALSE(is_meta(DEVICE_TYPE_CPU));
}

TEST_SUITE_END();
