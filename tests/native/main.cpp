#define DOCTEST_CONFIG_IMPLEMENT
#include "script.h"

#include <doctest/doctest.h>

#include <cstring>

int main(int argc, char ** argv) {
    if (argc == 2 && std::strcmp(argv[1], "reduce") == 0) {
        return slmprof::test::print_reductions();
    }
    return doctest::Context(argc, argv).run();
}
