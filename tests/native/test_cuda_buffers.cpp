#include "cuda/activity_buffers.h"

#include <doctest/doctest.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

using namespace slmprof;

TEST_SUITE_BEGIN("cuda buffers");

TEST_CASE("buffers are lent, filled and given back, and no more of them than there are") {
    ActivityBuffers   buffers(2, 64);
    uint8_t * const   first  = buffers.request();
    uint8_t * const   second = buffers.request();
    REQUIRE(first != nullptr);
    REQUIRE(second != nullptr);
    CHECK(first != second);
    CHECK(reinterpret_cast<uintptr_t>(first) % 8 == 0);
    CHECK(buffers.request() == nullptr);
    CHECK(buffers.has_lent());
    CHECK(buffers.is_nearly_full());

    buffers.complete(second, 48);
    buffers.complete(first, 8);
    CHECK_FALSE(buffers.has_lent());
    CHECK(buffers.request() == nullptr);  // until they have been read
    const std::vector<ActivityBuffers::Filled> filled = buffers.take_filled();
    REQUIRE(filled.size() == 2);
    CHECK(filled[0].data == second);
    CHECK(filled[0].used_bytes == 48);
    CHECK(filled[1].used_bytes == 8);
    CHECK(buffers.take_filled().empty());
    buffers.give_back(first);
    CHECK_FALSE(buffers.is_nearly_full());
    CHECK(buffers.request() == first);
}

TEST_CASE("a buffer of somebody else's is not taken") {
    ActivityBuffers buffers(1, 64);
    uint8_t         other[8];
    buffers.complete(other, 8);
    CHECK(buffers.take_filled().empty());
}

TEST_CASE("what was dropped is told once") {
    ActivityBuffers buffers(1, 64);
    buffers.add_dropped(3);
    buffers.add_dropped(4);
    CHECK(buffers.take_n_dropped() == 7);
    CHECK(buffers.take_n_dropped() == 0);
}

TEST_CASE("several threads take and fill them") {
    ActivityBuffers          buffers(8, 64);
    std::vector<std::thread> threads;
    std::atomic<int>         n_filled{ 0 }, n_taken{ 0 };
    for (int i = 0; i < 4; i++) {
        threads.emplace_back([&] {
            for (int round = 0; round < 200; round++) {
                if (uint8_t * buffer = buffers.request()) {
                    buffer[0] = 1;
                    buffers.complete(buffer, 1);
                    n_filled++;
                }
                for (const ActivityBuffers::Filled & filled : buffers.take_filled()) {
                    n_taken++;
                    buffers.give_back(filled.data);
                }
            }
        });
    }
    for (std::thread & thread : threads) {
        thread.join();
    }
    for (const ActivityBuffers::Filled & filled : buffers.take_filled()) {
        n_taken++;
        buffers.give_back(filled.data);
    }
    CHECK(n_filled == n_taken);
    CHECK_FALSE(buffers.has_lent());
    std::set<uint8_t *> all;
    while (uint8_t * buffer = buffers.request()) {
        all.insert(buffer);
    }
    CHECK(all.size() == 8);
}

TEST_SUITE_END();
