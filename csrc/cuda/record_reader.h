// CUPTI's records, read out of a buffer into neutral ones. Needs CUPTI's headers.

#pragma once

#include "cuda/activity.h"
#include "cuda/cupti_api.h"
#include "record/records.h"

#include <string>
#include <unordered_map>

namespace slmprof {

// A C++ name as it was written, or as it is where it is none.
std::string demangled(const char * name);

// For the buffers of one collection: a name's address means that name only as long as its module is loaded.
class RecordReader {
  public:
    RecordReader(const CuptiApi & api, StringTable & strings, Activity & activity)
        : api_(api), strings_(strings), activity_(activity) {}

    void read(uint8_t * buffer, size_t used_bytes);

  private:
    void    read_record(const CUpti_Activity & record);
    void    read_kernel(const CUpti_Activity & record);
    void    read_copy(const CUpti_Activity & record);
    void    read_peer_copy(const CUpti_Activity & record);
    void    read_fill(const CUpti_Activity & record);
    void    read_call(const CUpti_Activity & record, bool is_driver);
    void    read_external(const CUpti_Activity & record);
    int32_t number_of(const char * name);

    const CuptiApi &                          api_;
    StringTable &                             strings_;
    Activity &                                activity_;
    std::unordered_map<const char *, int32_t> names_;
};

}  // namespace slmprof
