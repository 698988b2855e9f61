// The CUPTI library, loaded at run time: a build with CUPTI also runs where there is none, and says what
// it then cannot measure. Nothing here needs CUPTI's headers.

#pragma once

#include "failures.h"

#include <cstdint>
#include <string>
#include <vector>

namespace slmprof {

class CuptiLibrary {
  public:
    // The first that can be opened of: one that the process has already, since two would be in each other's
    // way; `candidates`, each a file or a folder with libcupti.so.N in it; the loader's own path.
    // `majors` are the versions of CUDA to look for, the best first. Throws CuptiFailure.
    CuptiLibrary(const std::vector<std::string> & candidates, const std::vector<int> & majors);

    const std::string & path() const { return path_; }

    // Throws CuptiFailure where the library lacks it.
    void * symbol(const char * name) const;

  private:
    bool open(const std::string & path, int flags);

    // Never closed: CUPTI's own threads and CUDA's driver go on calling it.
    void *                   handle_ = nullptr;
    std::string              path_;
    std::vector<std::string> tried_;
};

// What a call's result means for a user, and what to do about it. `said` is CUPTI's own text for it.
std::string explain_cupti_result(int result, const std::string & said);

// CUDA's version as cuDriverGetVersion and CUPTI's own numbers tell it, 13.4 as 1304; 0 where unknown.
int cuda_version_of_driver(int driver_version);
int cuda_version_of_cupti(uint32_t cupti_version);

// Why what is of a CUDA (CUPTI, the build) does not work with a driver for another one, and what to do; empty
// where it does. A driver serves every minor version of its CUDA and older ones.
std::string explain_driver(int driver_cuda, int needed_cuda, const std::string & what = "CUPTI");

}  // namespace slmprof
