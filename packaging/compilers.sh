#!/usr/bin/env bash
# Compiles slmprof's own sources, those of the native tests too, with each of several compilers; a warning is an error.
# usage: packaging/compilers.sh [--whole] FOLDER COMPILER...
# A compiler is named as g++-12 or clang++-14 are. --whole builds llama.cpp as well, runs the native tests and
# third_party/llama.cpp/smoke.py. Needs doctest, ninja and what CONTRIBUTING.md installs for work on the native part.
set -euo pipefail
whole=''
if [ "$1" = --whole ]; then
    whole=1
    shift
fi
mkdir -p "$1"
folder=$(realpath "$1")
shift
cd "$(dirname "$0")/.."

quietly() { "$@" >"$folder/last.log" 2>&1 || { grep -E 'error|warning' -A5 "$folder/last.log" || tail -50 "$folder/last.log"; exit 1; } >&2; }

launchers=()
if command -v ccache >/dev/null; then
    launchers=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
for compiler in "$@"; do
    command -v "$compiler" >/dev/null || { echo "there is no $compiler" >&2; exit 1; }
    "$compiler" --version | head -1
    c_compiler=${compiler/clang++/clang}
    c_compiler=${c_compiler/g++/gcc}
    build=$folder/$compiler${whole:+-whole}
    # Optimised, as some warnings come of that; without llama.cpp, the bindings are not (CMakeLists.txt), which take long.
    if [ -n "$whole" ]; then
        build_type=(-DCMAKE_BUILD_TYPE=Release)
    else
        build_type=(-DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS=-O2 -DCMAKE_CXX_FLAGS=-O2 -DSLMPROF_UNITY_BUILD=OFF)
    fi
    quietly cmake -G Ninja -B "$build" "${build_type[@]}" -DCMAKE_C_COMPILER="$c_compiler" \
        -DCMAKE_CXX_COMPILER="$compiler" -DSLMPROF_WARNINGS_AS_ERRORS=ON -DSLMPROF_BUILD_TESTS=ON "${launchers[@]}"
    if [ -z "$whole" ]; then
        mapfile -t objects < <(ninja -C "$build" -t targets all |
            sed -nE 's/^((tests\/native\/)?CMakeFiles\/[^:]*\.dir\/[^:]*\.o): .*/\1/p' |
            grep -v 'native-tests.dir/__/')  # the module's own, once more
        quietly ninja -C "$build" ${CMAKE_BUILD_PARALLEL_LEVEL:+-j "$CMAKE_BUILD_PARALLEL_LEVEL"} "${objects[@]}"
        echo "    ${#objects[@]} files without a warning"
        continue
    fi
    quietly cmake --build "$build"
    echo '    built without a warning'
    quietly ctest --test-dir "$build" --output-on-failure
    echo '    native tests: passed'
    rm -rf "$build/package"
    mkdir -p "$build/package" "$build/smoke"
    cp -R src/slmprof "$build/package/"
    rm -f "$build"/package/slmprof/_core*.so  # another build's
    quietly cmake --install "$build" --prefix "$build/package"
    problems=$(PYTHONPATH=$build/package${PYTHONPATH:+:$PYTHONPATH} SLMPROF_CACHE_DIR=$build/cache \
        python3 third_party/llama.cpp/smoke.py "$build/smoke")
    [ "$problems" = '[]' ] || { echo "    smoke test: $problems" >&2; exit 1; }
    echo '    smoke test: passed'
done
