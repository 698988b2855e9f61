// Tables as JSON, for the Python tests that compare with them.

#pragma once

#include <cstdio>
#include <string>
#include <type_traits>
#include <vector>

namespace slmprof::test {

template <typename T> std::string column_json(const std::vector<T> & column) {
    std::string values;
    for (const T value : column) {
        char digits[32];
        if constexpr (std::is_floating_point_v<T>) {
            std::snprintf(digits, sizeof(digits), "%.17g", value);
        } else if constexpr (std::is_unsigned_v<T>) {
            std::snprintf(digits, sizeof(digits), "%llu", static_cast<unsigned long long>(value));
        } else {
            std::snprintf(digits, sizeof(digits), "%lld", static_cast<long long>(value));
        }
        values += (values.empty() ? "" : ",") + std::string(digits);
    }
    return "[" + values + "]";
}

template <typename Table> std::string table_json(const Table & table) {
    std::string columns;
    table.visit([&columns](const std::string & column, const auto & values) {
        columns += (columns.empty() ? "\"" : ",\"") + column + "\":" + column_json(values);
    });
    return "{" + columns + "}";
}

}  // namespace slmprof::test
