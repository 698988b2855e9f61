// A table is declared by one list of its columns, in the order of the profile file:
//
//     #define SLMPROF_MASK_COLUMNS(COLUMN, COLUMNS) COLUMN(int32_t, run) ... COLUMNS(int64_t, ne, 4)
//     SLMPROF_TABLE(MaskColumns, SLMPROF_MASK_COLUMNS)
//
// Of the list are made the vectors, the row that is appended to all of them, and the visit of each
// column with its name, which hands the table over and counts its memory. COLUMNS are several of one
// kind whose names end in their number: ne0 ... ne3.

#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#define SLMPROF_VECTOR(type, name)      std::vector<type> name;
#define SLMPROF_VECTORS(type, name, n)  std::array<std::vector<type>, n> name;
#define SLMPROF_VALUE(type, name)       type name{};
#define SLMPROF_VALUES(type, name, n)   std::array<type, n> name{};
#define SLMPROF_APPEND(type, name)      name.push_back(row.name);
#define SLMPROF_APPENDS(type, name, n)  for (size_t i = 0; i < n; i++) { name[i].push_back(row.name[i]); }
#define SLMPROF_FETCH(type, name)       row.name = name[i];
#define SLMPROF_FETCHES(type, name, n)  for (size_t j = 0; j < n; j++) { row.name[j] = name[j][i]; }
#define SLMPROF_VISIT(type, name)       visitor(#name, name);
#define SLMPROF_VISITS(type, name, n)   for (size_t i = 0; i < n; i++) { visitor(#name + std::to_string(i), name[i]); }

#define SLMPROF_TABLE(Table, LIST)                                                             \
    struct Table {                                                                             \
        struct Row {                                                                           \
            LIST(SLMPROF_VALUE, SLMPROF_VALUES)                                                \
        };                                                                                     \
        LIST(SLMPROF_VECTOR, SLMPROF_VECTORS)                                                  \
        size_t n_rows = 0;                                                                     \
                                                                                               \
        void append(const Row & row) {                                                         \
            LIST(SLMPROF_APPEND, SLMPROF_APPENDS)                                              \
            n_rows++;                                                                          \
        }                                                                                      \
        Row row(size_t i) const {                                                              \
            Row row;                                                                           \
            LIST(SLMPROF_FETCH, SLMPROF_FETCHES)                                               \
            return row;                                                                        \
        }                                                                                      \
        template <typename Visitor> void visit(const Visitor & visitor) {                      \
            LIST(SLMPROF_VISIT, SLMPROF_VISITS)                                                \
        }                                                                                      \
        template <typename Visitor> void visit(const Visitor & visitor) const {                \
            LIST(SLMPROF_VISIT, SLMPROF_VISITS)                                                \
        }                                                                                      \
    };
