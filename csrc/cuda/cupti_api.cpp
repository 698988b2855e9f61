#include "cuda/cupti_api.h"

#include <string>

namespace slmprof {

void CuptiApi::check(CUptiResult result, const char * call) const {
    if (result == CUPTI_SUCCESS) {
        return;
    }
    const char * said = nullptr;
    if (cuptiGetResultString == nullptr || cuptiGetResultString(result, &said) != CUPTI_SUCCESS || said == nullptr) {
        said = "";
    }
    throw CuptiFailure(std::string(call) + ": " + explain_cupti_result(static_cast<int>(result), said));
}

CuptiApi load_cupti(const CuptiLibrary & library, int driver_version) {
    CuptiApi api;
#define SLMPROF_LOAD(name) api.name = reinterpret_cast<decltype(api.name)>(library.symbol(#name));
    SLMPROF_CUPTI_FUNCTIONS(SLMPROF_LOAD)
#undef SLMPROF_LOAD
    check_versions(api, driver_version);
    return api;
}

void check_versions(CuptiApi & api, int driver_version) {
    api.check(api.cuptiGetVersion(&api.version), "cuptiGetVersion");
    const int cuda = cuda_version_of_cupti(api.version);
    if (cuda == 0) {
        throw CuptiFailure("CUPTI " + std::to_string(api.version) + " is not one of CUDA 12 or 13");
    }
    const std::string reason = explain_driver(cuda_version_of_driver(driver_version), cuda);
    if (!reason.empty()) {
        throw CuptiFailure(reason);
    }
}

}  // namespace slmprof
