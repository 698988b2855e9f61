#include "engine/deep_stack.h"

#include <exception>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace slmprof {

namespace {

struct Call {
    const std::function<void()> & function;
    std::exception_ptr            thrown = nullptr;
};

}  // namespace

void on_deep_stack(size_t stack_bytes, const std::function<void()> & call) {
#if defined(__unix__) || defined(__APPLE__)
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) == 0) {
        Call      made{ call };
        pthread_t thread{};
        const auto run = [](void * given) -> void * {
            auto * one = static_cast<Call *>(given);
            try {
                one->function();
            } catch (...) {
                one->thrown = std::current_exception();
            }
            return nullptr;
        };
        const bool has_begun = pthread_attr_setstacksize(&attributes, stack_bytes) == 0 &&
                               pthread_create(&thread, &attributes, run, &made) == 0;
        pthread_attr_destroy(&attributes);
        if (has_begun) {
            pthread_join(thread, nullptr);
            if (made.thrown) {
                std::rethrow_exception(made.thrown);
            }
            return;
        }
    }
#endif
    call();
}

}  // namespace slmprof
