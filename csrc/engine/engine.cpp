#include "engine/engine.h"

#include "engine/backends.h"
#include "engine/llama_params.h"
#include "engine/settings.h"
#include "memory/planned_devices.h"
#include "record/clock.h"

#include <cstdlib>
#include <stdexcept>

namespace slmprof {

Engine::Turn::Turn(const Engine & engine) : engine_(engine) {
    if (!engine_.is_at_home()) {
        throw std::invalid_argument("this engine belongs to the process that this one was forked from");
    }
    if (engine_.caller_ == std::this_thread::get_id()) {
        throw std::invalid_argument("this engine is busy with the call that made this one");
    }
    engine_.mutex_.lock();
    engine_.caller_ = std::this_thread::get_id();
}

Engine::Turn::~Turn() {
    engine_.caller_ = std::thread::id();
    engine_.mutex_.unlock();
}

Engine::Engine(const EngineSettings & settings) {
    if (!settings.cuda_graphs) {
        setenv("GGML_CUDA_DISABLE_GRAPHS", "1", 1);  // ggml has no other switch
    }
    initialize_backends();
    tick_scale();
    (void) context_params(settings);  // what is wrong in it is said before a model is loaded
    for (const std::string & name : settings.devices) {
        if (is_planned(name)) {
            throw std::invalid_argument(name + " is a device that plans alone know: nothing can run on it");
        }
    }
    if (PoolWatch::active() == nullptr) {
        pools_.observe();
    }
    observations_.push_back(look("start"));
    model_.emplace(settings, notes_);
    observations_.push_back(look("load"));
    context_.emplace(*model_, settings, notes_);
    stepper_.emplace(settings);
    observations_.push_back(look("context"));
}

Observation Engine::look(const std::string & point) const {
    return slmprof::observe(point, context_ ? context_->n_past() : 0,
                            stepper_ ? stepper_->memory() : std::vector<AddressRange>{}, notes_.real_buffers(),
                            notes_.places());
}

}  // namespace slmprof
