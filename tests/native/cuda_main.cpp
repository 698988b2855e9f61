#define DOCTEST_CONFIG_IMPLEMENT
#include "cuda_script.h"

#include <doctest/doctest.h>

#include <cstring>

int main(int argc, char ** argv) {
    if (argc == 2 && std::strcmp(argv[1], "join") == 0) {
        return slmprof::test::print_joins();
    }
    return doctest::Context(argc, argv).run();
}
