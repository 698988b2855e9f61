#include "engine/cuda_tracer.h"

#include "cuda/device_activity.h"
#include "failures.h"

#include "ggml-backend.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

namespace slmprof {
namespace {

// What fails once CUPTI is at work ends the run, as a failure of the device would.
template <typename Call> auto in_run(const Call & call) {
    try {
        return call();
    } catch (const CuptiFailure & failure) {
        throw EngineFailure(std::string("cannot record kernels: ") + failure.what());
    }
}

}  // namespace

CudaTracer::CudaTracer(const CuptiApi & api, StringTable & strings) : session_(api, strings) {
    session_.attach();
    // What is not permitted is refused here, where a run can do without, and not in the middle of it.
    session_.trace(TraceLevel::graphs);
    session_.trace(TraceLevel::nodes);
    session_.trace(TraceLevel::none);
    session_.read_clocks();
}

bool CudaTracer::traces(ggml_backend_device * device) const {
    ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(device);
    return registry != nullptr && std::strcmp(ggml_backend_reg_name(registry), "CUDA") == 0;
}

void CudaTracer::trace(TraceLevel level) {
    in_run([&] {
        session_.trace(level);
        readings_ = { session_.read_clocks() };
    });
}

DeviceActivity CudaTracer::collect(const std::vector<HostRun> & runs, bool keeps_kernels) {
    return in_run([&] {
        std::unordered_map<int32_t, uint32_t> devices;  // by run
        for (const ObservedRun & run : session_.runs()) {
            devices[run.run] = static_cast<uint32_t>(run.device);
        }
        std::vector<DeviceRun> on_devices;
        for (const HostRun & run : runs) {
            session_.set_graph(run.number, run.graph);
            on_devices.push_back({ run, devices[run.number] });
        }
        readings_.push_back(session_.read_clocks());
        const Activity activity = session_.read();
        const Joined   joined   = session_.join_and_forget(activity, keeps_kernels);
        DeviceActivity made     = sort_by_run(activity, joined, on_devices, align_clocks(readings_), keeps_kernels);
        readings_               = { readings_.back() };
        return made;
    });
}

void CudaTracer::forget() {
    in_run([&] { session_.join_and_forget(session_.read()); });
}

void CudaTracer::stop() noexcept {
    try {
        session_.trace(TraceLevel::none);
        session_.join_and_forget(session_.read());
    } catch (const CuptiFailure &) {
        // Said by the next pass, if it is still so.
    }
}

}  // namespace slmprof
