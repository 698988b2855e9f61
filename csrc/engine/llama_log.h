// What llama.cpp says while it works: kept for error messages, and passed on where asked.

#pragma once

#include <functional>
#include <string>
#include <vector>

namespace slmprof {

// Routes llama.cpp's and ggml's messages here; may be called many times.
void capture_llama_log();

// Pass messages on to stderr as well.
void set_llama_log_to_stderr(bool enabled);

// The last lines (at most 64), oldest first.
std::vector<std::string> llama_log_lines();

void clear_llama_log();

// Hears each message of a scope as it comes, a line or a piece of one. One at a time; the messages are kept
// as ever.
class LogListener {
  public:
    explicit LogListener(std::function<void(const std::string &)> hear);
    ~LogListener();
    LogListener(const LogListener &)             = delete;
    LogListener & operator=(const LogListener &) = delete;
};

// Silence for a scope in which llama.cpp says what is normal and would only confuse.
class QuietLog {
  public:
    QuietLog();
    ~QuietLog();
    QuietLog(const QuietLog &)             = delete;
    QuietLog & operator=(const QuietLog &) = delete;
};

}  // namespace slmprof
