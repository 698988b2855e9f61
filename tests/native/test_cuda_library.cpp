// Where CUPTI is looked for, and what its results and versions mean.

#include "cuda/cupti_library.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

using namespace slmprof;

namespace {

// No library of this version exists.
const std::vector<int> k_majors = { 7777, 7776 };

std::string failure(const std::vector<std::string> & candidates) {
    try {
        CuptiLibrary library(candidates, k_majors);
    } catch (const CuptiFailure & caught) {
        return caught.what();
    }
    return "";
}

// A folder that is gone with the test.
class Folder {
  public:
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "slmprof-cupti-XXXXXX").string();
        REQUIRE(mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    const std::filesystem::path & path() const { return path_; }

  private:
    std::filesystem::path path_;
};

bool contains(const std::string & text, const std::string & part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_SUITE_BEGIN("cuda library");

TEST_CASE("where there is none, each place that was tried is named, and what to install") {
    Folder     folder;
    const auto broken = folder.path() / "libcupti.so.7776";
    std::ofstream(broken) << "no library";
    const std::string message = failure({ "/no/such/folder/libcupti.so", folder.path().string() });
    CHECK(contains(message, "nvidia-cuda-cupti"));
    CHECK(contains(message, "/no/such/folder/libcupti.so"));
    CHECK(contains(message, broken.string()));
    CHECK(contains(message, "libcupti.so.7777"));
}

TEST_CASE("a file or a folder can be given, and a function that a library lacks is named") {
    // Any library will do; that of C is always there, and in the process already.
    const CuptiLibrary library({ "libc.so.6" }, k_majors);
    CHECK(library.path() == "libc.so.6");
    CHECK(library.symbol("malloc") != nullptr);
    try {
        library.symbol("cuptiSubscribe");
        FAIL("found");
    } catch (const CuptiFailure & caught) {
        CHECK(contains(caught.what(), "cuptiSubscribe"));
        CHECK(contains(caught.what(), "libc.so.6"));
    }
}

TEST_CASE("in a folder the best version is taken") {
    Folder folder;
    for (const char * name : { "libcupti.so.7776", "libcupti.so.7777" }) {
        std::filesystem::create_symlink("/proc/self/exe", folder.path() / name);
    }
    // An executable is no library either, but tells which was tried first.
    const std::string message = failure({ folder.path().string() });
    CHECK(message.find("/libcupti.so.7777") < message.find("/libcupti.so.7776"));
}

TEST_CASE("results are said in words that help") {
    CHECK(contains(explain_cupti_result(39, ""), "another profiler"));
    CHECK(contains(explain_cupti_result(23, ""), "another profiler"));
    CHECK(contains(explain_cupti_result(35, ""), "NVreg_RestrictProfilingToAdminUsers=0"));
    CHECK(contains(explain_cupti_result(15, ""), "driver"));
    CHECK(contains(explain_cupti_result(999, ""), "driver"));
    CHECK(explain_cupti_result(21, "CUPTI_ERROR_INVALID_KIND") == "CUPTI says: CUPTI_ERROR_INVALID_KIND (21)");
}

TEST_CASE("versions of drivers and of CUPTI are versions of CUDA") {
    CHECK(cuda_version_of_driver(12090) == 1209);
    CHECK(cuda_version_of_driver(13040) == 1304);
    CHECK(cuda_version_of_driver(0) == 0);
    CHECK(cuda_version_of_cupti(130401) == 1304);
    CHECK(cuda_version_of_cupti(19) == 1200);
    CHECK(cuda_version_of_cupti(26) == 1208);
    CHECK(cuda_version_of_cupti(28) == 1209);
    CHECK(cuda_version_of_cupti(18) == 0);
    CHECK(cuda_version_of_cupti(29) == 0);
}

TEST_CASE("a driver serves its own CUDA and older ones, not the next") {
    CHECK(explain_driver(1304, 1209).empty());
    CHECK(explain_driver(1300, 1304).empty());
    CHECK(explain_driver(0, 1304).empty());
    const std::string reason = explain_driver(1208, 1304);
    CHECK(contains(reason, "12.8"));
    CHECK(contains(reason, "13.4"));
}

TEST_SUITE_END();
