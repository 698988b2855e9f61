// Silence for a scope in which llama.cpp says what is normal and would only confuse.

#pragma once

#include "llama.h"

namespace slmprof {

class QuietLog {
  public:
    QuietLog() {
        llama_log_get(&callback_, &user_data_);
        llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    }
    ~QuietLog() { llama_log_set(callback_, user_data_); }
    QuietLog(const QuietLog &) = delete;
    QuietLog & operator=(const QuietLog &) = delete;

  private:
    ggml_log_callback callback_  = nullptr;
    void *            user_data_ = nullptr;
};

} // namespace slmprof
