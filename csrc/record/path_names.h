// The names of the codes by which the hooks tell which code ran.

#pragma once

#include "record/records.h"

namespace slmprof {

// Name of a path code: `vec_dot_q6_K_q8_K`, `repack gemv_q4_K_8x8_q8_K`, `tiled`, ...; empty for
// an operator that has one implementation.
std::string path_name(uint32_t code);

// Name of the code that converted the activations of a product with this path: `quantize_row_q8_K`.
std::string conversion_name(uint32_t code);

// The same as numbers of a string table, each made once.
class PathTexts {
  public:
    explicit PathTexts(StringTable & strings) : strings_(strings) {}

    int32_t path(uint32_t code) { return number(paths_, code, path_name); }
    int32_t conversion(uint32_t code) { return number(conversions_, code, conversion_name); }

  private:
    using Numbers = std::unordered_map<uint32_t, int32_t>;

    int32_t number(Numbers & known, uint32_t code, std::string (*name)(uint32_t)) {
        const auto [entry, is_new] = known.try_emplace(code, -1);
        if (is_new) {
            entry->second = strings_.intern(name(code));
        }
        return entry->second;
    }

    StringTable & strings_;
    Numbers       paths_, conversions_;
};

}  // namespace slmprof
