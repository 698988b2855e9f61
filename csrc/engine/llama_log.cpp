#include "engine/llama_log.h"

#include "record/forked.h"

#include "llama.h"

#include <cstdio>
#include <deque>
#include <mutex>
#include <utility>

namespace slmprof {

namespace {

constexpr size_t k_n_lines = 64;

std::mutex              log_mutex;
std::deque<std::string> lines;
std::string             unfinished;
bool                    to_stderr = false;

[[maybe_unused]] const bool is_taken = taken_for_forks<log_mutex>();

std::function<void(const std::string &)> listener;

void keep(ggml_log_level level, const char * text) {
    const std::lock_guard<std::mutex> lock(log_mutex);
    if (to_stderr && level != GGML_LOG_LEVEL_DEBUG) {
        std::fputs(text, stderr);
        std::fflush(stderr);
    }
    if (level == GGML_LOG_LEVEL_DEBUG) {
        return;
    }
    // A message may come in pieces, and a piece may hold several lines.
    unfinished += text;
    size_t end = 0;
    while ((end = unfinished.find('\n')) != std::string::npos) {
        const std::string line = unfinished.substr(0, end);
        unfinished.erase(0, end + 1);
        if (!line.empty()) {
            lines.push_back(line);
        }
        if (lines.size() > k_n_lines) {
            lines.pop_front();
        }
    }
}

void receive(ggml_log_level level, const char * text, void * /*user_data*/) {
    keep(level, text);
    if (listener) {
        listener(text);
    }
}

}  // namespace

LogListener::LogListener(std::function<void(const std::string &)> hear) {
    listener = std::move(hear);
}

LogListener::~LogListener() {
    listener = nullptr;
}

void capture_llama_log() {
    llama_log_set(receive, nullptr);
}

void set_llama_log_to_stderr(bool enabled) {
    const std::lock_guard<std::mutex> lock(log_mutex);
    to_stderr = enabled;
}

std::vector<std::string> llama_log_lines() {
    const std::lock_guard<std::mutex> lock(log_mutex);
    return { lines.begin(), lines.end() };
}

void clear_llama_log() {
    const std::lock_guard<std::mutex> lock(log_mutex);
    lines.clear();
    unfinished.clear();
}

QuietLog::QuietLog() {
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
}

QuietLog::~QuietLog() {
    capture_llama_log();
}

}  // namespace slmprof
