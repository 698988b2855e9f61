#include "cuda/device_observer.h"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

using namespace slmprof;

namespace {

class Writer : public DeviceObserver {
  public:
    void begin_run(ggml_cgraph *, int device, bool is_captured) override {
        add("run", device);
        text += is_captured ? "c" : "";
    }
    void end_run() override { text += "."; }
    void begin_issue(int node) override { add("issue", node); }
    void end_issue(int n_fused) override { add("+", n_fused); }
    void begin_replay(void * executable, void * captured) override {
        text += executable == this && captured == nullptr ? " replay" : " ?";
    }
    void end_replay() override { text += "!"; }

    std::string text;

  private:
    void add(const char * what, int number) { text += std::string(" ") + what + std::to_string(number); }
};

void play(void * executable) {
    SLMPROF_DEVICE_RUN_BEGIN(nullptr, 2, true);
    SLMPROF_ISSUE_BEGIN(5);
    SLMPROF_ISSUE_END(3);
    SLMPROF_REPLAY_BEGIN(executable, nullptr);
    SLMPROF_REPLAY_END();
    SLMPROF_DEVICE_RUN_END();
}

}  // namespace

TEST_SUITE_BEGIN("cuda observer");

TEST_CASE("hooks lead to the one that observes, and nowhere without one") {
    play(nullptr);
    Writer writer;
    writer.observe();
    writer.observe();
    play(&writer);
    CHECK(writer.text == " run2c issue5 +3 replay!.");

    Writer other;
    CHECK_THROWS_AS(other.observe(), std::logic_error);
    other.ignore();  // not its to end
    play(&writer);
    CHECK(writer.text.size() == 50);
    writer.ignore();
    play(&writer);
    CHECK(writer.text.size() == 50);
    {
        Writer third;
        third.observe();
    }
    play(nullptr);  // it is gone, and so is the way to it
}

TEST_SUITE_END();
