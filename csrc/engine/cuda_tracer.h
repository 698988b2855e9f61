// The kernels of CUDA devices for the recorder: what CUPTI tells of them, joined to ggml's nodes and put on
// the host's clock. Needs CUPTI's headers.

#pragma once

#include "cuda/clock_alignment.h"
#include "cuda/cupti_session.h"
#include "record/kernel_tracer.h"

#include <string>
#include <vector>

namespace slmprof {

class CudaTracer : public KernelTracer {
  public:
    // `api` and `strings` must outlive it. Throws CuptiFailure.
    CudaTracer(const CuptiApi & api, StringTable & strings);

    bool           traces(ggml_backend_device * device) const override;
    void           trace(TraceLevel level) override;
    int32_t        last_run() const override { return session_.last_run(); }
    bool           is_nearly_full() const override { return session_.is_nearly_full(); }
    DeviceActivity collect(const std::vector<HostRun> & runs, bool keeps_kernels) override;
    void           forget() override;
    void           stop() noexcept override;
    std::vector<AddressRange> memory() const override { return session_.memory(); }

  private:
    CuptiSession              session_;
    std::vector<ClockReading> readings_;  // one when it began to trace, and one at each collection since
};

}  // namespace slmprof
