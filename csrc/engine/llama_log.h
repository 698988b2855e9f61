// What llama.cpp says while it works: kept for error messages, and passed on where asked.

#pragma once

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

// Silence for a scope in which llama.cpp says what is normal and would only confuse.
class QuietLog {
  public:
    QuietLog();
    ~QuietLog();
    QuietLog(const QuietLog &)             = delete;
    QuietLog & operator=(const QuietLog &) = delete;
};

}  // namespace slmprof
